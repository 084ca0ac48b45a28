/** gRPC calls through berth, judged one by one: a real HTTP/2 client on one side, a real HTTP/2 server on the other. */
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Stream,
} from 'node:http2'
import { connect as dial } from 'node:net'
import { Duplex } from 'node:stream'
import { type Test, test } from 'tap'
import { startFront } from '../support/front.ts'
import {
  block,
  END_HEADERS,
  END_STREAM,
  type Fields,
  frame,
  h2Client,
  request,
  TYPE,
} from '../support/h2-client.ts'
import { type Asked, RecordingEngine } from '../support/recording-engine.ts'

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, list: string[]) => void

const GRANTED = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '0' }
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'

/** What an engine does once /grpc has been upgraded: it serves HTTP/2 on the same connection. */
const upgraded = (asked: Asked, serve: Serve): void => {
  const { socket } = asked
  const wire = new Duplex({
    read() {},
    write: (bytes: Buffer, _: BufferEncoding, done: () => void) => void socket.write(bytes, done),
    final: (done: () => void) => void socket.end(done),
  })
  asked.onRaw = (bytes) => void wire.push(bytes)
  socket.on('close', () => wire.destroy())
  socket.write(SWITCH)
  const session = performServerHandshake(wire)
  session.on(
    'stream',
    (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _: number, list: string[]) => {
      stream.on('error', () => {})
      // berth's own question: this engine grants all that builds may ask for
      if (headers['user-agent'] === 'berth') stream.respond(GRANTED, { endStream: true })
      else serve(stream, headers, list)
    },
  )
  session.on('error', () => {})
}

/** An engine whose builder does as it is told, and a client of berth's, by preface or by an upgrade of /grpc. */
const startBuilder = async (
  t: Test,
  serve: Serve,
  by: 'preface' | 'upgrade' = 'preface',
  profile: 'dedicated' | 'open' = 'dedicated',
): Promise<{ session: ClientHttp2Session; engine: RecordingEngine }> => {
  const engine = await RecordingEngine.start(t)
  engine.answer = (asked) => upgraded(asked, serve)
  const { hostname, port } = new URL(
    (await startFront(t, engine.url, { profile })).replace('tcp', 'http'),
  )
  const socket = dial({ host: hostname, port: Number(port) })
  if (by === 'upgrade') {
    socket.write('POST /grpc HTTP/1.1\r\nHost: \r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
    const [answer] = await once(socket, 'data')
    const end = String(answer).indexOf('\r\n\r\n') + 4
    t.match(String(answer), 'HTTP/1.1 101')
    socket.pause()
    socket.unshift(answer.subarray(end))
  }
  const session = connect(`http://localhost`, { createConnection: () => socket })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  return { session, engine }
}

const call = (session: ClientHttp2Session, method: string, more: object = {}) => {
  const stream = session.request({
    ':method': 'POST',
    ':path': method,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  })
  stream.on('error', () => {})
  return stream
}

/** What a call came to. */
const result = async (stream: ReturnType<typeof call>) => {
  let headers: IncomingHttpHeaders = {}
  let trailers: IncomingHttpHeaders = {}
  const pieces: Buffer[] = []
  stream.on('response', (fields) => {
    headers = fields
  })
  stream.on('trailers', (fields) => {
    trailers = fields
  })
  stream.on('data', (bytes) => pieces.push(bytes))
  if (!stream.closed) await once(stream, 'close').catch(() => {})
  const { rstCode } = stream
  return { headers, trailers, body: Buffer.concat(pieces), rstCode }
}

const grpc = (body: Buffer | string): Buffer => {
  const bytes = Buffer.from(body as string)
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([prefix, bytes])
}

const INFO = '/moby.buildkit.v1.Control/Info'
const SOLVE = '/moby.buildkit.v1.Control/Solve'
const STATUS = '/moby.buildkit.v1.Control/Status'
const SESSION = '/moby.buildkit.v1.Control/Session'

const echo: Serve = (stream) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-trailer': 'yes' }))
  stream.pipe(stream)
}

for (const by of ['preface', 'upgrade'] as const)
  test(`messages, metadata and trailers pass (${by})`, async (t) => {
    let seen: string[] = []
    const { session, engine } = await startBuilder(
      t,
      (stream, headers, list) => {
        seen = list
        echo(stream, headers, list)
      },
      by,
    )
    const stream = call(session, INFO, { 'grpc-timeout': '20S', 'x-secret': 'no' })
    stream.end(grpc('hello'))
    const { headers, trailers, body } = await result(stream)
    t.match(headers, { ':status': 200, 'content-type': 'application/grpc' })
    t.match(trailers, { 'grpc-status': '0', 'x-trailer': 'yes' })
    t.same(body, grpc('hello'))
    t.ok(seen.includes('grpc-timeout'))
    t.notOk(seen.includes('x-secret'))
    t.match(engine.requests, [{ method: 'POST', target: '/grpc', complaints: [] }])
  })

test('an answer of trailers only stays one', async (t) => {
  const { session } = await startBuilder(t, (stream) =>
    stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true }),
  )
  const { headers, trailers, body } = await result(call(session, INFO).end())
  t.match(headers, { 'grpc-status': '5' })
  t.same([trailers, body.length], [{}, 0])
})

test('both directions stay open until each side has ended its own', async (t) => {
  const { session } = await startBuilder(t, echo)
  const stream = call(session, SESSION)
  const said: string[] = []
  stream.on('data', (bytes: Buffer) => said.push(String(bytes)))
  for (const word of ['one', 'two', 'three']) {
    stream.write(word)
    await once(stream, 'data')
  }
  t.same(said, ['one', 'two', 'three'])
  stream.end()
  t.match((await result(stream)).trailers, { 'grpc-status': '0' })
})

test('50 MB pass both ways, and a reader that stops stops the writer', async (t) => {
  let sent = 0
  const { session } = await startBuilder(t, (stream) => {
    stream.respond({ ':status': 200 })
    const piece = Buffer.alloc(1 << 16, 'x')
    const pour = (): void => {
      sent += piece.length
      if (sent >= 50 << 20) stream.end(piece)
      else stream.write(piece, pour)
    }
    pour()
  })
  const stream = call(session, STATUS).end()
  await once(stream, 'response')
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.ok(sent < 8 << 20, `${sent} bytes were sent to nobody`)
  let received = 0
  for await (const bytes of stream) received += bytes.length
  t.ok(received >= 50 << 20)
})

test('a reset of the client reaches the engine, and the other way round', async (t) => {
  const codes: number[] = []
  let ended: (() => void) | undefined
  const { session } = await startBuilder(t, (stream, headers) => {
    stream.respond({ ':status': 200 })
    stream.write('x')
    stream.on('close', () => {
      codes.push(stream.rstCode)
      ended?.()
    })
    if (headers[':path'] === STATUS) setImmediate(() => stream.destroy(new Error('broken')))
  })
  const leaving = call(session, SESSION)
  await once(leaving, 'data')
  const gone = new Promise<void>((resolve) => {
    ended = resolve
  })
  leaving.close(8)
  await gone
  t.same(codes, [8], 'the engine hears of it')
  const { rstCode } = await result(call(session, STATUS).end())
  t.equal(rstCode, 2, 'and the client of its')
})

test('an engine that dies is a status of the call', async (t) => {
  const { session, engine } = await startBuilder(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.write('x')
  })
  const stream = call(session, STATUS).end()
  await once(stream, 'data')
  for (const socket of engine.sockets) socket.destroy()
  const { trailers } = await result(stream)
  t.match(trailers, { 'grpc-status': '14', 'grpc-message': 'berth: the engine closed' })
})

/** An engine whose frames are written by hand, once /grpc has been upgraded. */
const rawBuilder = async (t: Test, frames: readonly Buffer[]): Promise<string> => {
  const engine = await RecordingEngine.start(t)
  engine.answer = ({ socket }) => {
    socket.write(SWITCH)
    socket.write(Buffer.concat([frame(TYPE.SETTINGS, 0, 0), ...frames]))
  }
  return startFront(t, engine.url, { profile: 'dedicated' })
}

test('what an engine may not say on a stream is not repeated', async (t) => {
  const head = (fields: Fields, flags: number) =>
    frame(TYPE.HEADERS, END_HEADERS | flags, 1, block([[':status', '200'], ...fields]))
  const connectionFields: Fields = [
    ['http2-settings', 'x'],
    ['keep-alive', '5'],
    ['te', 'gzip'],
  ]
  const last = block([['grpc-status', '0'], ...connectionFields])
  const inHead = [head([['grpc-status', '0'], ...connectionFields], END_STREAM)]
  const inTrailers = [head([], 0), frame(TYPE.HEADERS, END_HEADERS | END_STREAM, 1, last)]
  for (const frames of [inHead, inTrailers]) {
    const url = await rawBuilder(t, frames)
    const { hostname, port } = new URL(url.replace('tcp', 'http'))
    const session = connect(`http://${hostname}:${port}`)
    session.on('error', () => {})
    t.teardown(() => session.destroy())
    const { headers, trailers } = await result(call(session, STATUS).end())
    const said = { ...headers, ...trailers }
    t.match(said, { ':status': 200, 'grpc-status': /^(?:0|14)$/ })
    t.notHas(said, { 'http2-settings': 'x' })
    const after = h2Client(t, url).greet().headers(1, request('GET', '/nowhere'))
    t.equal(await after.answered(1), 404, 'and berth lives on')
  }
})

test('a call that is taken back with NO_ERROR is over for both sides', {
  timeout: 10_000,
}, async (t) => {
  let heard: (() => void) | undefined
  const ended = new Promise<void>((resolve) => {
    heard = resolve
  })
  let begun: (() => void) | undefined
  const asked = new Promise<void>((resolve) => {
    begun = resolve
  })
  const { session } = await startBuilder(t, (stream, headers, list) => {
    if (headers[':path'] === INFO) return echo(stream, headers, list)
    // it reads nothing, so that berth stops reading too
    stream.on('close', () => heard?.())
    begun?.()
  })
  const stream = call(session, SESSION)
  stream.write(Buffer.alloc(224 << 10))
  await asked
  await new Promise((resolve) => setTimeout(resolve, 100))
  stream.close(0)
  await ended
  const { trailers } = await result(call(session, INFO).end(grpc('again')))
  t.match(trailers, { 'grpc-status': '0' }, 'and the connection lives on')
})

test('an engine that cannot be had is 14, and the next call tries again', async (t) => {
  const { session, engine } = await startBuilder(t, echo)
  const { answer } = engine
  engine.answer = ({ socket }) => void socket.destroy()
  const { headers } = await result(call(session, INFO).end())
  t.match(headers, { ':status': 200, 'grpc-status': '14', 'grpc-message': 'berth' })
  engine.answer = answer
  t.match((await result(call(session, INFO).end())).trailers, { 'grpc-status': '0' })
})

test('a Solve with an entitlement is refused with a message, and never seen by the engine', async (t) => {
  const seen: string[] = []
  const { session } = await startBuilder(t, (stream, headers, list) => {
    seen.push(String(headers[':path']))
    echo(stream, headers, list)
  })
  const bad = call(session, SOLVE).end(grpc('\x4a\x0cnetwork.host'))
  const { headers } = await result(bad)
  t.match(headers, { ':status': 200, 'grpc-status': '7' })
  t.match(decodeURIComponent(String(headers['grpc-message'])), /^berth: .*network\.host/)
  const unknown = await result(call(session, '/containerd.services.content.v1.Content/Write').end())
  t.match(unknown.headers, { ':status': 200, 'grpc-status': '7' })
  t.same(seen, [])
  const good = await result(call(session, SOLVE).end(grpc('\x0a\x03ref')))
  t.match(good.trailers, { 'grpc-status': '0' })
  t.same(good.body, grpc('\x0a\x03ref'))
})

test('a Solve that is compressed, cut or doubled is refused', async (t) => {
  const { session } = await startBuilder(t, echo)
  const compressed = grpc('\x0a\x03ref')
  compressed[0] = 1
  const tricks = [
    compressed,
    grpc('\x0a\x03ref').subarray(0, 7),
    Buffer.concat([grpc('\x0a\x03ref'), grpc('\x4a\x0cnetwork.host')]),
  ]
  for (const bytes of tricks) {
    const { headers } = await result(call(session, SOLVE).end(bytes))
    t.match(headers, { 'grpc-status': '13' })
  }
})

test('long Solves are let in a few at a time, and the others are not read meanwhile', async (t) => {
  const { session } = await startBuilder(t, (stream) => {
    stream
      .resume()
      .on('end', () => stream.respond({ ':status': 200, 'grpc-status': '0' }, { endStream: true }))
  })
  let taken = 0
  let areEnding = false
  const poured: (() => void)[] = []
  // field 2: the definition, a MiB of it
  const body = Buffer.concat([Buffer.from([0x12, 0x80, 0x80, 0x40]), Buffer.alloc(1 << 20)])
  const message = grpc(body)
  const size = 1 << 16
  const builds = Array.from({ length: 40 }, () => {
    const stream = call(session, SOLVE)
    // all but the end of it, as fast as it is taken
    const pour = (at: number): void => {
      taken += at > 0 ? size : 0
      if (at < 1 << 20) stream.write(message.subarray(at, at + size), () => pour(at + size))
      else poured.push(() => stream.end(message.subarray(at)))
      if (areEnding) end()
    }
    pour(0)
    return result(stream)
  })
  const end = (): void => {
    areEnding = true
    for (const finish of poured.splice(0)) finish()
  }
  const short = await result(call(session, SOLVE).end(grpc('\x0a\x03ref')))
  t.match(short.headers, { 'grpc-status': '0' }, 'a short one need not wait')
  await new Promise((resolve) => setTimeout(resolve, 500))
  t.ok(taken < 26 << 20, `${taken} bytes were taken`)
  end()
  for (const { headers } of await Promise.all(builds)) t.match(headers, { 'grpc-status': '0' })
})

test('an upgraded /grpc serves nothing but gRPC', async (t) => {
  const { session } = await startBuilder(t, echo, 'upgrade')
  const stream = session.request({ ':path': '/_ping' })
  t.match((await result(stream)).headers, { ':status': 415 })
})

test('a build that its user cancels is cancelled on the engine', async (t) => {
  let cancelled: ((code: number) => void) | undefined
  const code = new Promise<number>((resolve) => {
    cancelled = resolve
  })
  const { session } = await startBuilder(t, (stream) => {
    stream.resume()
    stream.on('close', () => cancelled?.(stream.rstCode))
  })
  const build = call(session, SOLVE).end(grpc('\x0a\x03ref'))
  await new Promise((resolve) => setTimeout(resolve, 100))
  build.close(8)
  t.equal(await code, 8)
})

for (const by of ['preface', 'upgrade'] as const)
  test(`where nothing is judged the connection is spliced, and nothing is read (${by})`, async (t) => {
    let seen: string[] = []
    const serve: Serve = (stream, headers, list) => {
      seen = list
      echo(stream, headers, list)
    }
    const { session, engine } = await startBuilder(t, serve, by, 'open')
    const { trailers, body } = await result(
      call(session, SOLVE, { 'x-any': 'field' }).end(grpc('\x4a\x0cnetwork.host')),
    )
    t.match(trailers, { 'grpc-status': '0' })
    t.same(body, grpc('\x4a\x0cnetwork.host'))
    t.ok(seen.includes('x-any'))
    await result(call(session, '/any.Service/Method').end())
    t.equal(engine.connections, 1)
    t.match(engine.requests, [{ method: 'POST', target: '/grpc', complaints: [] }])
  })
