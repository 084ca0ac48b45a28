/** HTTP/2 as RFC 9113 has an intermediary keep it, and what ends a connection that does not. */
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { startBerth } from '../support/berth.ts'
import { until } from '../support/builds.ts'
import { startFront } from '../support/front.ts'
import {
  ACK,
  block,
  CODE,
  END_HEADERS,
  END_STREAM,
  type Fields,
  frame,
  h2Client,
  PREFACE,
  request,
  TYPE,
} from '../support/h2-client.ts'
import { answerWith, RecordingEngine } from '../support/recording-engine.ts'

const PING = request('GET', '/_ping')
const CREATE = request('POST', '/v1.51/containers/create', [['content-type', 'application/json']])

test('a request over HTTP/2 reaches the engine as any other, and its answer the client', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  client.headers(1, [...PING, ['user-agent', 'a'], ['x-other', 'dropped'], ['te', 'trailers']])
  t.equal(await client.answered(1), 200)
  t.equal(await client.body(1), 'OK')
  t.match(engine.requests, [{ method: 'GET', target: '/_ping', complaints: [] }])
  t.same(
    engine.requests[0]!.fields.map(([name]) => name),
    ['Host', 'User-Agent'],
  )
})

test('streams of one connection are answered each for itself (5.1.2)', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  for (let stream = 1; stream < 60; stream += 2) client.headers(stream, PING)
  for (let stream = 1; stream < 60; stream += 2) t.equal(await client.answered(stream), 200)
})

test('a body of unknown length goes on as chunks, one of known length with it (8.1)', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  const load = request('POST', '/images/load', [['content-type', 'application/x-tar']])
  client.headers(1, load, END_HEADERS)
  client.send(frame(TYPE.DATA, 0, 1, 'some '), frame(TYPE.DATA, END_STREAM, 1, 'tar'))
  t.equal(await client.answered(1), 200)
  client.headers(3, [...load, ['content-length', '3']], END_HEADERS)
  client.send(frame(TYPE.DATA, END_STREAM, 3, 'tar'))
  t.equal(await client.answered(3), 200)
  client.headers(
    5,
    request('POST', '/containers/create', [['content-type', 'application/json']]),
    4,
  )
  client.send(frame(TYPE.DATA, END_STREAM, 5, '{"Image":"busybox"}'))
  t.equal(await client.answered(5), 200)
  t.match(engine.requests[0]!.body, 'some tar')
  t.ok(engine.requests[0]!.fields.some(([name]) => name === 'Transfer-Encoding'))
  t.match(engine.requests[1]!.body, 'tar')
  t.ok(
    engine.requests[1]!.fields.some(([name, value]) => name === 'Content-Length' && value === '3'),
  )
  t.match(engine.requests[2]!.body, '"busybox"')
})

test('an answer in chunks, without length or without body comes as DATA and END_STREAM', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  const head = 'HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\n'
  engine.answer = answerWith(
    `${head}Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n`,
  )
  t.equal(await client.headers(1, PING).body(1), 'onetwo')
  engine.answer = answerWith(`${head}\r\nto the end`, true)
  t.equal(await client.headers(3, PING).body(3), 'to the end')
  engine.answer = answerWith('HTTP/1.1 204 No Content\r\n\r\n')
  t.equal(await client.headers(5, request('POST', '/containers/a/start')).answered(5), 204)
  t.equal(await client.body(5), '')
})

test('an engine that breaks off is an error of the stream, and the others live on', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  engine.answer = answerWith('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', true)
  client.headers(1, PING)
  await client.until('a reset', (each) => each.of(1, TYPE.RST_STREAM).length > 0)
  t.equal(client.of(1, TYPE.RST_STREAM)[0]!.payload.readUInt32BE(0), CODE.INTERNAL_ERROR)
  engine.answer = answerWith('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK')
  t.equal(await client.headers(3, PING).answered(3), 200)
})

test('a client that resets a stream ends the request of the engine (5.4.2)', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = ({ socket }) =>
    void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  client.headers(1, PING)
  await client.answered(1)
  client.send(frame(TYPE.RST_STREAM, 0, 1, '\0\0\0\x08'))
  await engine.until('the connection has gone', ({ sockets }) => sockets.size === 0)
  engine.answer = answerWith('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK')
  t.equal(await client.headers(3, PING).answered(3), 200)
})

test('routes that take a connection over answer as engines do', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  t.equal(
    await client.headers(1, request('POST', '/containers/a/attach?stream=1')).answered(1),
    400,
  )
  t.match(await client.body(1), 'hijack connection missing')
  t.equal(await client.headers(3, request('POST', '/grpc')).answered(3), 500)
  t.match(await client.body(3), 'no upgrade proto in request')
  t.equal(await client.headers(5, request('POST', '/session')).answered(5), 400)
  t.same(engine.requests, [])
})

/** RFC 9113 8.2 and 8.3: these are answered on their stream, whatever else the connection carries. */
const MALFORMED: Readonly<Record<string, Fields>> = {
  'no path': PING.filter(([name]) => name !== ':path'),
  'two methods': [PING[0]!, ...PING],
  'an unknown pseudo-header field': [[':other', 'x'], ...PING],
  'a pseudo-header field behind others': [['user-agent', 'a'], ...PING],
  connection: [...PING, ['connection', 'close']],
  'transfer-encoding': [...PING, ['transfer-encoding', 'chunked']],
  upgrade: [...PING, ['upgrade', 'h2c']],
  'te: gzip': [...PING, ['te', 'gzip']],
  'an upper-case name': [...PING, ['User-Agent', 'a']],
  'another host': [...PING, ['host', 'other']],
  'two content-lengths': [...PING, ['content-length', '0'], ['content-length', '0']],
  'a path that is a URL': request('GET', 'http://localhost/_ping'),
  'a path with white space': request('GET', '/_ping HTTP/1.1'),
  'a method that is not served': request('TRACE', '/_ping'),
}

test('malformed requests are refused on their stream, and not sent on (8.1.1)', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  let stream = 1
  for (const [name, fields] of Object.entries(MALFORMED)) {
    const answer = await client.headers(stream, fields).answered(stream)
    t.ok(answer === 400 || answer === `reset ${CODE.PROTOCOL_ERROR}`, `${name}: ${answer}`)
    stream += 2
  }
  t.same(engine.requests, [])
  t.equal(await client.headers(stream, PING).answered(stream), 200, 'the connection lives on')
})

test('more or less DATA than content-length says is an error of the stream (8.1.1)', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const load = request('POST', '/images/load', [
    ['content-type', 'application/x-tar'],
    ['content-length', '5'],
  ])
  for (const body of ['too long', 'shrt']) {
    const client = h2Client(t, url).greet()
    client.headers(1, load, END_HEADERS).send(frame(TYPE.DATA, END_STREAM, 1, body))
    const answer = await client.answered(1)
    // Node 24 ends the whole connection where Node 20 ends the stream
    t.ok(answer === `reset ${CODE.PROTOCOL_ERROR}` || answer === undefined, `${answer}`)
  }
  for (const { body } of engine.requests) t.ok(body.length <= 5, 'never more than was declared')
  t.equal(await h2Client(t, url).greet().headers(1, PING).answered(1), 200)
})

/** RFC 9113 4, 5.1 and 6: these end the connection. */
const BROKEN: Readonly<Record<string, Buffer>> = {
  'DATA on an idle stream': frame(TYPE.DATA, 0, 201, 'x'),
  'HEADERS on stream 0': frame(TYPE.HEADERS, 5, 0, block(PING)),
  'HEADERS on an even stream': frame(TYPE.HEADERS, 5, 202, block(PING)),
  'CONTINUATION without HEADERS': frame(TYPE.CONTINUATION, 4, 201, ''),
  'SETTINGS of 5 bytes': frame(TYPE.SETTINGS, 0, 0, '12345'),
  'PING of 7 bytes': frame(TYPE.PING, 0, 0, '1234567'),
  'a window update of nothing': frame(TYPE.WINDOW_UPDATE, 0, 0, '\0\0\0\0'),
  'a window beyond 2^31': frame(TYPE.WINDOW_UPDATE, 0, 0, '\x7f\xff\xff\xff'),
  PUSH_PROMISE: frame(TYPE.PUSH_PROMISE, 4, 201, '\0\0\0\x02'),
  'broken HPACK': frame(TYPE.HEADERS, 5, 201, '\xff\xff\xff\xff\xff\xff'),
}

test('broken frames end the connection with a GOAWAY (5.4.1)', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  for (const [name, broken] of Object.entries(BROKEN)) {
    const client = h2Client(t, url).greet()
    await client.headers(101, PING).answered(101)
    client.send(broken)
    // Node says INTERNAL_ERROR for some of what nghttp2 calls by another name
    t.ok(await client.ended(), name)
  }
})

test('pings are answered, with what they say (6.7)', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  client.send(frame(TYPE.PING, 0, 0, 'whatever'))
  await client.until('the answer', (each) => each.of(0, TYPE.PING).length > 0)
  t.match(client.of(0, TYPE.PING), [{ flags: ACK, payload: Buffer.from('whatever') }])
})

test('a reader that opens no window costs what one stream may hold', async (t) => {
  const engine = await RecordingEngine.start(t)
  const large = 64 << 20
  let written = 0
  engine.answer = ({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${large}\r\n\r\n`)
    const piece = Buffer.alloc(1 << 20)
    const pour = (): void => {
      written += piece.length
      if (written < large) socket.write(piece, pour)
    }
    pour()
  }
  const client = h2Client(t, await startFront(t, engine.url))
  client.send(PREFACE, frame(TYPE.SETTINGS, 0, 0, Buffer.from('000400000000', 'hex')))
  client.headers(1, PING)
  t.equal(await client.answered(1), 200)
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.ok(written < 8 << 20, `the engine could write ${written} bytes`)
  t.same(client.of(1, TYPE.DATA), [])
})

/** CPU time that a process has used, in milliseconds. */
const cpuOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6

test('a rapid reset is over within 200 resets and 50 ms of CPU', async (t) => {
  const engine = await RecordingEngine.start(t)
  const berth = await startBerth({ engine: engine.url })
  t.teardown(() => berth.stop())
  const other = h2Client(t, berth.url).greet().headers(1, PING)
  await other.answered(1)
  const client = h2Client(t, berth.url).greet()
  await client.headers(1, PING).answered(1)
  engine.clear()
  const flood: Buffer[] = []
  for (let stream = 3; stream < 20_003; stream += 2)
    flood.push(
      frame(TYPE.HEADERS, END_HEADERS | END_STREAM, stream, block(PING)),
      frame(TYPE.RST_STREAM, 0, stream, '\0\0\0\x08'),
    )
  const before = cpuOf(berth.pid)
  client.send(Buffer.concat(flood))
  // Node 24 may end the connection before the GOAWAY has left it; the log below says why all the same
  const code = await client.ended()
  t.ok(code === CODE.ENHANCE_YOUR_CALM || code === undefined, `GOAWAY ${code}`)
  const used = cpuOf(berth.pid) - before
  // a fifth of this, where nothing else runs: 10,000 requests served would cost ten times as much
  t.ok(used < 100, `${used} ms`)
  t.ok(engine.requests.length <= 200, `the engine saw ${engine.requests.length} of them`)
  const why = /"failure":"HTTP2_ABUSE","reason":"[^"]*rapid reset"/
  await t.resolves(until('logged', async () => why.test(berth.log())))
  t.equal(await other.headers(3, PING).answered(3), 200, 'others never notice')
})

test('a client that never acknowledges SETTINGS is let go', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = h2Client(t, await startFront(t, engine.url, { headSeconds: 1 }))
  client.send(PREFACE)
  await client.ended()
  t.pass('it is gone')
})

/** What is refused before anybody looks at its body, and what is judged by it. */
const TAKEN_BACK: readonly (readonly [string, Fields, string])[] = [
  ['refused for its Origin', [...PING, ['origin', 'x']], ''],
  ['refused for what it names', request('GET', '/nowhere'), ''],
  ['answered', PING, ''],
  ['judged', CREATE, '{"Image":"a","HostConfig":{"Privileged":true}}'],
  ['never whole', CREATE, '{"Image"'],
]

for (const [what, fields, body] of TAKEN_BACK)
  test(`a request that is taken back with NO_ERROR is over: one that is ${what}`, async (t) => {
    const engine = await RecordingEngine.start(t)
    const url = await startFront(t, engine.url, { profile: 'dedicated' })
    const reset = frame(TYPE.RST_STREAM, 0, 1, '\0\0\0\0')
    const data = body === '' ? [] : [frame(TYPE.DATA, body.endsWith('}') ? END_STREAM : 0, 1, body)]
    for (const isOnePacket of [true, false]) {
      const client = h2Client(t, url).greet()
      const head = frame(
        TYPE.HEADERS,
        END_HEADERS | (body === '' ? END_STREAM : 0),
        1,
        block(fields),
      )
      if (isOnePacket) client.send(Buffer.concat([head, ...data, reset]))
      else {
        client.send(head, ...data)
        await new Promise((resolve) => setTimeout(resolve, 20))
        client.send(reset)
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
      client.headers(3, PING)
      t.equal(await client.answered(3), 200, 'the connection lives on')
    }
  })
