/** Floods over HTTP/2 from other processes, beside somebody who wants nothing but his answers. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { H2_LIMITS } from '../../src/accept/h2-guard.ts'
import { type Berth, startBerth } from '../support/berth.ts'
import { until } from '../support/builds.ts'
import { CODE, type H2Client, h2Client, request } from '../support/h2-client.ts'
import type { Flooded } from '../support/h2-flooder.ts'
import { FLOODS, type FloodName } from '../support/h2-floods.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

const NAMES = Object.keys(FLOODS) as FloodName[]
const FLOODER = fileURLToPath(new URL('../../dist/test/support/h2-flooder.js', import.meta.url))
const PING = request('GET', '/_ping')
const SECONDS = process.env.BERTH_SOAK === '1' ? 30 : 2
const MOST_CPU_MS = 50
const MOST_RSS_MB = 200

const portOf = ({ url }: Berth): string => new URL(url.replace('tcp', 'http')).port

const start = async (t: Test, ...args: readonly string[]) => {
  const engine = await RecordingEngine.start(t)
  const berth = await startBerth({ engine: engine.url, args })
  t.teardown(() => berth.stop())
  return { engine, berth }
}

/** CPU time that a process has used, in milliseconds. */
const cpuOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6

const rssOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024

/** Somebody who asks again and again over one connection, and counts what he is answered. */
const asking = async (ask: () => Promise<unknown>, seconds: number) => {
  const answers = new Map<unknown, number>()
  const times: number[] = []
  for (const end = performance.now() + seconds * 1000; performance.now() < end; await delay(1)) {
    const asked = performance.now()
    const answer = await ask()
    times.push(performance.now() - asked)
    answers.set(answer, (answers.get(answer) ?? 0) + 1)
  }
  const p99 = times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0
  return { answers: [...answers.keys()], count: times.length, p99: p99.toFixed(2) }
}

/** One request over HTTP/1.1; resolves to the status, or to what went wrong. */
const pinging = (t: Test, berth: Berth) => {
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  return async (): Promise<unknown> => {
    const asked = get({ agent, host: '127.0.0.1', port: portOf(berth), path: '/_ping' })
    try {
      const [answer] = await once(asked, 'response')
      answer.resume()
      await once(answer, 'end')
      return answer.statusCode
    } catch (error) {
      return error
    }
  }
}

/** The same over a connection of HTTP/2. */
const streaming = (client: H2Client) => {
  let stream = -1
  return async (): Promise<unknown> => {
    stream += 2
    return client.headers(stream, PING).answered(stream)
  }
}

const startFlooder = async (t: Test, berth: Berth, name: string, from: string) => {
  const child = fork(FLOODER, [portOf(berth), name, from], { execArgv: [] })
  t.teardown(() => child.kill())
  await once(child, 'message')
  child.send('start')
  return child
}

const stopFlooder = async (child: ChildProcess): Promise<Flooded> => {
  const told = once(child, 'message')
  child.send('stop')
  return (await told)[0]
}

test('whoever floods is cut off again and again, and nobody else notices', async (t) => {
  const { engine, berth } = await start(t)
  const ping = pinging(t, berth)
  const streamed = streaming(h2Client(t, berth.url).greet())
  const quiet = await asking(ping, 1)
  engine.clear()

  const flooders = await Promise.all(
    NAMES.map((name, at) => startFlooder(t, berth, name, `127.0.0.${10 + at}`)),
  )
  const [one, two] = await Promise.all([asking(ping, SECONDS), asking(streamed, SECONDS)])
  const rss = rssOf(berth.pid)
  t.same(one.answers, [200])
  t.same(two.answers, [200])
  t.ok(rss < MOST_RSS_MB, `${rss} MB`)
  const told = await Promise.all(flooders.map(stopFlooder))
  const log = berth.log()
  for (const [at, name] of NAMES.entries()) {
    t.ok(told[at]!.connections > 2, `${name}: it came back`)
    t.match(log, FLOODS[name].reason, `${name}: the log says why`)
  }
  const served = engine.requests.length - one.count - two.count
  t.ok(served < 200 * told[0]!.connections, `the engine saw ${served} of the others' requests`)
  t.notMatch(log, /"level":[56]0/)
  t.comment('p99 of the others, quiet and beside the floods, in ms', quiet.p99, one.p99)
})

test('no flood costs more than a few milliseconds of CPU, however much of it comes', async (t) => {
  const { engine, berth } = await start(t)
  t.equal(await h2Client(t, berth.url).greet().headers(1, PING).answered(1), 200)
  for (const name of NAMES) {
    engine.clear()
    const client = h2Client(t, berth.url).greet()
    await client.until('its greeting', ({ frames }) => frames.length > 0)
    const before = cpuOf(berth.pid)
    client.send(...FLOODS[name].pieces)
    const code = await client.ended()
    const used = cpuOf(berth.pid) - before
    t.ok(used < MOST_CPU_MS, `${name}: ${used} ms`)
    // what is still on its way as the connection ends may reset the GOAWAY away
    t.ok(code === CODE.ENHANCE_YOUR_CALM || code === undefined, `${name}: GOAWAY ${code}`)
    t.ok(engine.requests.length <= H2_LIMITS.resets.burst, `${name}: ${engine.requests.length}`)
  }
})

test('a flood behind an upgrade, where calls are judged, ends as any other', async (t) => {
  const { berth } = await start(t, '--profile', 'dedicated')
  const client = h2Client(t, berth.url)
  client.send(
    'POST /grpc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  )
  await once(client.socket, 'data')
  client.greet().send(...FLOODS.ping.pieces)
  await client.ended()
  await t.resolves(until('logged', async () => /PING flood/.test(berth.log())))
})

test('somebody else behind the address of a flood waits his turn, and has it', async (t) => {
  const { berth } = await start(t)
  const flooder = await startFlooder(t, berth, 'rapid reset', '127.0.0.1')
  const offences = () => [...berth.log().matchAll(/rapid reset/g)].length
  await until('too many to be forgiven', async () => offences() > 10)
  await stopFlooder(flooder)
  const before = performance.now()
  const client = h2Client(t, berth.url).greet()
  t.equal(await client.headers(1, PING).answered(1), 200)
  t.ok(performance.now() - before > 100, 'he had to wait')
  t.equal(await pinging(t, berth)(), 200, 'HTTP/1.1 does not')
})
