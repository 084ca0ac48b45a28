/** SIGTERM: no new work, what is under way goes on, and then the process ends. */
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { startBerth } from '../support/berth.ts'
import { until } from '../support/builds.ts'
import { rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

const PING = 'GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n'
const EVENTS = 'GET /v1.44/events HTTP/1.1\r\nHost: localhost\r\n\r\n'
const HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

test('streams go on until they end; idle connections and the listener close at once', async (t) => {
  const engine = await RecordingEngine.start(t)
  const berth = await startBerth({ engine: engine.url, args: ['--drain-seconds', '20'] })
  t.teardown(() => berth.stop())
  let say: (text: string) => void = () => {}
  engine.answer = ({ request, socket }) => {
    if (!request.target.endsWith('events')) return void socket.write(`${HEAD}0\r\n\r\n`)
    say = (text) => socket.write(text)
    socket.write(`${HEAD}5\r\nfirst\r\n`)
  }
  const idle = rawClient(t, berth.url).send(PING)
  await idle.read('0\r\n\r\n')
  const following = rawClient(t, berth.url).send(EVENTS)
  await following.read('first')
  const stopped = berth.stop()
  t.equal(await idle.ended(), 'fin')
  t.equal(await rawClient(t, berth.url).ended(), 'reset', 'nobody listens any more')
  t.equal(following.end, undefined)
  say('4\r\nlast\r\n0\r\n\r\n')
  await following.until('the end', ({ responses }) => responses[0]?.body === 'firstlast')
  t.equal(await following.ended(), 'fin', 'its connection ends with it')
  t.equal(await stopped, 0)
})

test('what has not ended at the deadline is cut, visibly', async (t) => {
  const engine = await RecordingEngine.start(t)
  const berth = await startBerth({ engine: engine.url, args: ['--drain-seconds', '1'] })
  t.teardown(() => berth.stop())
  engine.answer = ({ socket }) => void socket.write(`${HEAD}5\r\nfirst\r\n`)
  const following = rawClient(t, berth.url).send(EVENTS)
  await following.read('first')
  const started = performance.now()
  const stopped = berth.stop()
  t.equal(await following.ended(), 'reset')
  t.equal(await stopped, 0)
  t.ok(performance.now() - started < 5000)
})

for (const workers of ['1', '2'])
  test(`a second signal does not wait, and an echo of the first is none (workers: ${workers})`, async (t) => {
    const engine = await RecordingEngine.start(t)
    const args = ['--drain-seconds', '20', '--workers', workers]
    const berth = await startBerth({ engine: engine.url, args })
    t.teardown(() => berth.stop())
    engine.answer = ({ socket }) => void socket.write(`${HEAD}5\r\nfirst\r\n`)
    const following = rawClient(t, berth.url).send(EVENTS)
    await following.read('first')
    process.kill(berth.pid, 'SIGHUP')
    process.kill(berth.pid, 'SIGINT')
    await until('told', async () => berth.log().includes('has 20 seconds to end, and a second'))
    t.equal(berth.log().split('a second signal').length, 2, 'told once')
    await delay(1000)
    t.equal(following.end, undefined)
    const started = performance.now()
    const stopped = berth.stop()
    t.equal(await following.ended(), 'reset')
    t.equal(await stopped, 0)
    t.ok(performance.now() - started < 5000)
  })
