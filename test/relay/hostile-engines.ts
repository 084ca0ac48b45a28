/** What an engine or a client does at the worst moment costs nobody else anything. */
import { connect } from 'node:net'
import { test } from 'tap'
import { Berth } from '../../src/cli/berth.ts'
import { readConfig } from '../../src/config/config.ts'
import { startFront } from '../support/front.ts'
import { block, frame, h2Client, request, TYPE } from '../support/h2-client.ts'
import { rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const GRPC = [
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
] as const
const UPGRADED = 'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'

test('a status that node would not send is refused, and nothing else happens', async (t) => {
  for (const status of ['999', '099']) {
    const engine = await RecordingEngine.start(t, 'tcp')
    const usual = engine.answer
    engine.answer = (asked) => {
      if (asked.request.target !== '/grpc') return usual(asked)
      asked.socket.write(UPGRADED)
      asked.socket.write(frame(TYPE.SETTINGS, 0, 0))
      setTimeout(() => {
        const head = block([
          [':status', status],
          ['content-type', 'application/grpc'],
        ])
        asked.socket.write(frame(TYPE.SETTINGS, 1, 0))
        asked.socket.write(frame(TYPE.HEADERS, 4, 1, head))
      }, 100)
    }
    const client = h2Client(t, await startFront(t, engine.url)).greet()
    client.headers(1, request('GET', '/_ping'))
    await client.answered(1)
    client.headers(3, request('POST', '/moby.buildkit.v1.Control/Info', GRPC))
    t.equal(await client.answered(3), 200, 'a gRPC status in its head')
  }
})

test("a status that is none is the engine's fault, for a request over HTTP/2 as well", async (t) => {
  const engine = await RecordingEngine.start(t, 'tcp')
  engine.answer = ({ socket }) => void socket.write('HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nOK')
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  client.headers(1, request('GET', '/_ping'))
  t.match(await client.body(1), /malformed answer: status 999 in HTTP\/2/)
  t.equal(await client.answered(1), 'another status', '502')
})

test('an engine that takes its time over /grpc is let go of with the client', async (t) => {
  const engine = await RecordingEngine.start(t, 'tcp')
  const usual = engine.answer
  engine.answer = async (asked) => {
    if (asked.request.target !== '/grpc') return usual(asked)
    asked.socket.on('end', () => asked.socket.destroy())
    await later(200)
    asked.socket.write(UPGRADED)
    asked.socket.write(frame(TYPE.SETTINGS, 0, 0))
  }
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  client.headers(1, request('GET', '/_ping'))
  await client.answered(1)
  client.headers(3, request('POST', '/moby.buildkit.v1.Control/Info', GRPC))
  await engine.until('the upgrade', ({ requests }) => requests.some((r) => r.target === '/grpc'))
  client.socket.resetAndDestroy()
  await later(600)
  t.equal(engine.sockets.size, 1, 'only the idle one of the ping is left')
})

test('a build whose engine never answers has no place in the quota once its client has left', async (t) => {
  const engine = await RecordingEngine.start(t, 'tcp')
  const usual = engine.answer
  engine.answer = (asked) => (asked.request.target === '/grpc' ? undefined : usual(asked))
  const file = 'plans: { default: { streams: 1 } }'
  const url = await startFront(t, engine.url, { file })
  const client = h2Client(t, url).greet()
  client.headers(1, request('GET', '/_ping'))
  await client.answered(1)
  client.headers(3, request('POST', '/moby.buildkit.v1.Control/Solve', GRPC))
  await engine.until('the upgrade', ({ requests }) => requests.some((r) => r.target === '/grpc'))
  client.socket.resetAndDestroy()
  const next = rawClient(t, url)
  next.send(
    'POST /v1.51/build HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-tar\r\nContent-Length: 0\r\n\r\n',
  )
  await next.until('its turn', ({ statuses }) => statuses.length > 0, 5000)
  t.same(next.statuses, [200])
})

test('what a client takes back with NO_ERROR never looks complete', async (t) => {
  const engine = await RecordingEngine.start(t, 'tcp')
  let raw = ''
  engine.answer = ({ socket }) => void socket.on('data', (bytes) => (raw += bytes))
  const client = h2Client(t, await startFront(t, engine.url)).greet()
  client.headers(1, request('POST', '/v1.51/build', [['content-type', 'application/x-tar']]), 4)
  client.send(frame(TYPE.DATA, 0, 1, 'half'))
  await engine.until('the build', ({ requests }) => requests.length === 1)
  await later(100)
  client.send(frame(TYPE.RST_STREAM, 0, 1, Buffer.alloc(4)))
  await engine.until('an end', ({ sockets }) => sockets.size === 0)
  t.notMatch(raw, /0\r\n\r\n$/)
})

test('a request that crosses the farewell of a draining berth is not carried out', async (t) => {
  const engine = await RecordingEngine.start(t)
  const config = readConfig({
    env: {},
    flags: {
      listen: ['tcp://127.0.0.1:0'],
      engine: engine.url,
      anonymous: true,
      profile: 'open',
      log: 'silent',
      drainSeconds: 1,
    },
  })
  const berth = await Berth.create(config)
  await berth.start()
  const client = rawClient(t, berth.urls[0]!)
  client.send('GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await client.read('OK')
  const stopped = berth.stop()
  await client.ended()
  client.send('POST /v1.51/containers/x/kill HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await stopped
  t.equal(engine.requests.length, 1)
})

test('whoever says too much behind a quiet stream, and goes, is noticed', async (t) => {
  const engine = await RecordingEngine.start(t, 'tcp')
  engine.answer = ({ socket }) =>
    void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
  const url = new URL(
    (await startFront(t, engine.url, { idleSeconds: 1 })).replace('tcp:', 'http:'),
  )
  const socket = connect(Number(url.port), url.hostname)
  socket.on('error', () => {})
  socket.write(`GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n${'x'.repeat(20_000)}`)
  await engine.until('the stream', ({ requests }) => requests.length === 1)
  await later(100)
  socket.resetAndDestroy()
  await engine.until('an end', ({ sockets }) => sockets.size === 0)
  t.pass('the engine need not go on')
})
