/** Engine connections that are used again: when, when not, and what happens when one has died meanwhile. */
import { test } from 'tap'
import { startFront } from '../support/front.ts'
import { rawClient } from '../support/raw-client.ts'
import { type Answer, RecordingEngine } from '../support/recording-engine.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK'
const GET = 'GET /v1.44/info HTTP/1.1\r\nHost: d\r\n\r\n'
const HEAD = 'HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n'
const POST = 'POST /v1.44/containers/x/start HTTP/1.1\r\nHost: d\r\n\r\n'
const DELETE = 'DELETE /v1.44/containers/x HTTP/1.1\r\nHost: d\r\n\r\n'

/** Answers the first request of each connection, and ends it without a word at the second. */
const diesAtSecond: Answer = ({ socket, nth }) => {
  if (nth === 1) socket.write(OK)
  else socket.destroy()
}

test('a safe request on a connection that had died is asked once more, others are not', async (t) => {
  for (const [raw, status, asked] of [
    [GET, 200, 2],
    [HEAD, 200, 2],
    [POST, 502, 1],
    [DELETE, 502, 1],
  ] as const) {
    const engine = await RecordingEngine.start(t)
    const url = await startFront(t, engine.url)
    engine.answer = diesAtSecond
    await rawClient(t, url).send(GET).read('OK')
    engine.clear()
    const client = rawClient(t, url).send(raw)
    await client.read(/^HTTP\/1\.1 [0-9]{3} /)
    t.equal(Number(client.text.slice(9, 12)), status, raw.slice(0, 20))
    t.equal(engine.requests.length, asked)
  }
})

test('it is asked once more, not twice', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  await rawClient(t, url).send(GET).read('OK')
  engine.clear()
  engine.answer = ({ socket }) => void socket.destroy()
  const client = rawClient(t, url).send(GET)
  await client.until('an answer', ({ responses }) => responses.length > 0)
  t.same(client.statuses, [502])
  t.equal(engine.requests.length, 2)
})

test('a new connection that dies is not tried again, nor one that had begun to answer', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  engine.answer = ({ socket }) => void socket.destroy()
  const client = rawClient(t, url).send(GET)
  await client.until('an answer', ({ responses }) => responses.length > 0)
  t.same(client.statuses, [502])
  t.equal(engine.requests.length, 1)
  engine.answer = ({ socket, nth }) => {
    if (nth === 1) socket.write(OK)
    else socket.end('HTTP/1.')
  }
  await rawClient(t, url).send(GET).read('OK')
  engine.clear()
  const cut = rawClient(t, url).send(GET)
  await cut.until('an answer', ({ responses }) => responses.length > 0)
  t.same(cut.statuses, [502])
  t.equal(engine.requests.length, 1)
})

test('a connection that ended while idle is not used again, not even for a POST', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  engine.answer = ({ socket }) => {
    socket.write(OK)
    setTimeout(() => socket.end(), 10)
  }
  await rawClient(t, url).send(GET).read('OK')
  await engine.until('it has ended', ({ sockets }) => sockets.size === 0)
  const client = rawClient(t, url).send(POST)
  await client.read('OK')
  t.equal(engine.connections, 2)
})

test('a connection that says something unasked is poisoned', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  for (const delay of [0, 20]) {
    engine.answer = ({ socket }) => {
      socket.write(OK)
      setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON'), delay)
    }
    await rawClient(t, url).send(GET).read('OK')
    await engine.until('it is dropped', ({ sockets }) => sockets.size === 0)
    engine.answer = ({ socket }) => void socket.write(OK)
    const client = rawClient(t, url).send(GET)
    await client.until('an answer', ({ responses }) => responses.length > 0)
    t.equal(client.responses[0]?.body, 'OK')
    client.destroy()
  }
})

test('connections are shared between requests, never used by two at once', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const busy = new Set<number>()
  let isShared = false
  engine.answer = async ({ request, socket }) => {
    isShared ||= busy.has(request.connection)
    busy.add(request.connection)
    await new Promise((resolve) => setTimeout(resolve, 2))
    busy.delete(request.connection)
    socket.write(
      `HTTP/1.1 200 OK\r\nContent-Length: ${request.target.length}\r\n\r\n${request.target}`,
    )
  }
  const clients = Array.from({ length: 20 }, (_, n) => {
    const client = rawClient(t, url)
    for (let i = 0; i < 20; i++)
      client.send(`GET /v1.44/containers/c${n}-${i}/json HTTP/1.1\r\nHost: d\r\n\r\n`)
    return client
  })
  for (const [n, client] of clients.entries()) {
    await client.until('twenty answers', ({ responses }) => responses.length === 20)
    t.same(
      client.responses.map(({ body }) => body),
      Array.from({ length: 20 }, (_, i) => `/v1.44/containers/c${n}-${i}/json`),
    )
  }
  t.equal(isShared, false)
  t.ok(engine.connections <= 40, `${engine.connections} connections for 400 requests`)
})

test('an engine that is not there is said in words', async (t) => {
  const url = await startFront(t, 'unix:///nowhere/engine.sock')
  const client = rawClient(t, url).send(GET)
  await client.until('an answer', ({ responses }) => responses.length > 0)
  t.same(client.statuses, [502])
  t.match(
    JSON.parse(client.responses[0]!.body).message,
    /^berth: the engine cannot be reached: .*running/,
  )
  client.send(GET)
  await client.until('another', ({ responses }) => responses.length === 2)
  t.equal(client.end, undefined, 'the client may go on asking')
})
