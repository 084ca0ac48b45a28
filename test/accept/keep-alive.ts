/** One connection, many requests: their order, and when the connection ends. */
import { connect } from 'node:net'
import { test } from 'tap'
import { startFront } from '../support/front.ts'
import { rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

const get = (n: number, fields = ''): string =>
  `GET /v1.44/containers/c${n}/json HTTP/1.1\r\nHost: d\r\n${fields}\r\n`
const echo = (text: string): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`

test('pipelined requests are answered in their order, one at a time', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  let [under, most] = [0, 0]
  engine.answer = async ({ request, socket }) => {
    most = Math.max(most, ++under)
    // the earlier a request, the longer it takes
    const n = Number(/c([0-9]+)/.exec(request.target)?.[1])
    await new Promise((resolve) => setTimeout(resolve, 10 - n))
    under--
    socket.write(echo(`answer ${n}`))
  }
  const client = rawClient(t, url)
  client.send([0, 1, 2, 3, 4, 5].map((n) => get(n)).join(''))
  await client.until('six answers', ({ responses }) => responses.length === 6)
  t.same(
    client.responses.map(({ body }) => body),
    [0, 1, 2, 3, 4, 5].map((n) => `answer ${n}`),
  )
  t.equal(most, 1, 'the engine was never asked for two of them at once')
  t.equal(engine.connections, 1, 'and over one connection')
  t.equal(client.end, undefined, 'the connection stays open')
})

test('requests with bodies follow each other, whatever is in the bodies', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const inner = get(9)
  const length = `POST /v1.44/images/load HTTP/1.1\r\nHost: d\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`
  const chunked = `POST /v1.44/images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`
  const client = rawClient(t, url)
  const bytes = Buffer.from(length + chunked + length + get(1))
  for (let at = 0; at < bytes.length; at += 11)
    await client.sendPieces([bytes.subarray(at, at + 11)])
  await client.until('four answers', ({ responses }) => responses.length === 4)
  t.same(
    engine.requests.map(({ target, body }) => [target, body]),
    [
      ['/v1.44/images/load', inner],
      ['/v1.44/images/load', inner],
      ['/v1.44/images/load', inner],
      ['/v1.44/containers/c1/json', ''],
    ],
  )
})

test('a client that half-closes behind its requests gets all the answers', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const client = rawClient(t, url)
  client.send(get(1) + get(2) + get(3)).finish()
  t.equal(await client.ended(), 'fin')
  t.same(client.statuses, [200, 200, 200])
})

test('Connection: close is obeyed, and what follows is not read', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const client = rawClient(t, url)
  client.send(get(1, 'Connection: close\r\n') + get(2))
  t.equal(await client.ended(), 'fin')
  t.same(client.statuses, [200])
  t.match(client.text, /\r\nConnection: close\r\n/)
  t.equal(engine.requests.length, 1)
})

test('HTTP/1.0: one request, a body without chunk lines, and a close', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  engine.answer = async ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    await new Promise((resolve) => setTimeout(resolve, 20))
    socket.write('6\r\n world\r\n0\r\n\r\n')
  }
  const client = rawClient(t, url)
  client.send('GET /_ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /_ping HTTP/1.0\r\n\r\n')
  t.equal(await client.ended(), 'fin')
  t.notMatch(client.text, /Transfer-Encoding/)
  t.match(client.text, /\r\n\r\nhello world$/)
  t.equal(engine.requests.length, 1)
  t.same(engine.requests[0]?.complaints, [], 'upstream it is HTTP/1.1 like all others')
})

test('HTTP/1.0: an answer that breaks off is no end', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  engine.answer = ({ socket }) =>
    void socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
  const client = rawClient(t, url)
  client.send('GET /_ping HTTP/1.0\r\n\r\n')
  t.equal(await client.ended(), 'reset')
})

test('a refusal that leaves the connection in step keeps it; its message says which request it was', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const client = rawClient(t, url)
  client.send(get(1).replace('Host: d', 'Host: other.example') + get(2))
  await client.until('two answers', ({ responses }) => responses.length === 2)
  t.same(client.statuses, [403, 200])
  const { message } = JSON.parse(client.responses[0]!.body)
  t.match(message, /^berth: .*other\.example.*\(request [0-9a-z-]+\)$/)
  t.match(client.responses[0]!.head, /^Api-Version: [0-9.]+\r$/m)
})

const REFUSED = get(1).replace('Host: d', 'Host: other.example')

test('pipelined refusals leave everybody else his turn', async (t) => {
  const engine = await RecordingEngine.start(t)
  const client = rawClient(t, await startFront(t, engine.url))
  const count = 500
  let turns = 0
  let isOver = false
  const turn = (): void => {
    turns++
    if (!isOver) setImmediate(turn)
  }
  turn()
  client.send(REFUSED.repeat(count))
  await client.until('all answers', ({ text }) => text.split('HTTP/1.1 403').length > count)
  isOver = true
  t.ok(turns >= count, `${count} refusals in ${turns} turns`)
})

test('a client that does not read its refusals is not listened to', {
  timeout: 60_000,
}, async (t) => {
  const engine = await RecordingEngine.start(t)
  const { hostname, port } = new URL((await startFront(t, engine.url)).replace('tcp:', 'http:'))
  const socket = connect({ host: hostname, port: Number(port) })
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  // more than what the kernel keeps of both directions
  const burst = Buffer.from(REFUSED.repeat(32 << 10))
  const bursts = 20
  for (let n = 0; n < bursts; n++) socket.write(burst)
  const taken = () => socket.bytesWritten - socket.writableLength
  for (let [before, still] = [-1, 0]; still < 10 && socket.writableLength > 0; ) {
    still = before === taken() ? still + 1 : 0
    before = taken()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.ok(taken() < burst.length * (bursts - 1), `${taken()} bytes of ${burst.length * bursts}`)
})
