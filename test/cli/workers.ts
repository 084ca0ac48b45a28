/** Several workers: who gets which connection, and what happens when one of them dies. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { startEngine } from '../../fixtures/engine.ts'
import { type Berth, type BerthOptions, startBerth } from '../support/berth.ts'
import { until } from '../support/builds.ts'
import { childrenOf } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { openTenancy } from '../support/tenancy.ts'

const WORKERS = 3
const EACH = 20

const workersOf = ({ pid }: Berth): number[] => childrenOf(pid)

const socketsOf = (pid: number): number =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')
    } catch {
      return false // closed meanwhile
    }
  }).length

const connected = async (t: Test, url: string): Promise<RawClient> => {
  const client = new RawClient(url)
  t.teardown(() => client.socket.destroy())
  await new Promise((resolve) => client.socket.once('connect', resolve))
  return client
}

/**
 * As many connections for each worker, by one door. None is on its way any more: what a worker has not taken when it dies
 * is dealt to another one.
 */
const connectAll = async (t: Test, berth: Berth, url: string) => {
  const workers = workersOf(berth)
  const before = workers.map(socketsOf)
  const primary = socketsOf(berth.pid)
  const count = workers.length * EACH
  const clients = await Promise.all(Array.from({ length: count }, () => connected(t, url)))
  const held = () => workers.map((pid, at) => socketsOf(pid) - before[at]!)
  const all = async () => held().reduce((sum, more) => sum + more) === count
  await until('with the workers', all)
  await until('gone from the primary', async () => socketsOf(berth.pid) === primary)
  return { clients, held: held() }
}

/** How a ping on a new connection is answered. */
const ping = async (t: Test, url: string): Promise<string> => {
  const client = await connected(t, url)
  client.socket.write('GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await client.until(
    'an answer or an end',
    ({ text, end }) => text.includes('OK') || end !== undefined,
  )
  return client.text.split('\r\n')[0] ?? ''
}

const setUp = async (t: Test): Promise<Omit<BerthOptions, 'engine'> & { engine: string }> => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-workers-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const engine = await startEngine()
  t.teardown(() => engine.stop())
  return {
    engine: engine.url,
    listen: ['tcp://127.0.0.1:0', `unix://${folder}/berth.sock`],
    args: ['--workers', String(WORKERS), '--log', 'silent'],
  }
}

test('workers have as many connections each, by every door', async (t) => {
  const berth = await startBerth(await setUp(t))
  t.teardown(() => berth.stop())
  for (const url of berth.urls) {
    const { held } = await connectAll(t, berth, url)
    t.strictSame(held, Array(WORKERS).fill(EACH), url)
    t.equal(await ping(t, url), 'HTTP/1.1 200 OK')
  }
})

test('a worker that dies takes its own connections with it, and is replaced', async (t) => {
  const berth = await startBerth(await setUp(t))
  t.teardown(() => berth.stop())
  const { clients } = await connectAll(t, berth, berth.url)
  const [first = 0, ...others] = workersOf(berth)
  process.kill(first, 'SIGKILL')
  const ended = () => clients.filter(({ end }) => end !== undefined).length
  await until('cut', async () => ended() >= EACH)
  t.equal(ended(), EACH)
  t.equal(await ping(t, berth.url), 'HTTP/1.1 200 OK', 'the others serve on')
  await until('replaced', async () => workersOf(berth).length === WORKERS)
  t.match(berth.log(), /a worker has died; another one takes its place/)
  const [next = 0] = workersOf(berth).filter((pid) => pid !== first && !others.includes(pid))
  const idle = socketsOf(next)
  await until('in its turn', async () => {
    await connected(t, berth.url)
    return socketsOf(next) > idle
  })
  t.equal(await berth.stop(), 0)
})

test('connections wait while there is no worker', async (t) => {
  const berth = await startBerth(await setUp(t))
  t.teardown(() => berth.stop())
  for (const pid of workersOf(berth)) process.kill(pid, 'SIGKILL')
  // what was on its way to a worker that has just died is lost with it
  await until('dead', async () => berth.log().split('has died').length > WORKERS)
  t.equal(await ping(t, berth.url), 'HTTP/1.1 200 OK')
})

test('a socket file that a killed berth has left is no obstacle', async (t) => {
  const options = await setUp(t)
  const killed = await startBerth(options)
  for (const pid of [killed.pid, ...workersOf(killed)]) process.kill(pid, 'SIGKILL')
  const berth = await startBerth(options)
  t.teardown(() => berth.stop())
  t.equal(await ping(t, berth.urls[1]!), 'HTTP/1.1 200 OK')
  await t.rejects(startBerth(options), /another process listens there/)
})

test('workers that cannot start end as one process alone does', async (t) => {
  const tenancy = await openTenancy(t)
  const serve = ['serve', '--listen', 'tcp://127.0.0.1:0', '--workers', '2', '--store']
  const [away, wrong] = await Promise.all([
    tenancy.command(...serve, 'redis://127.0.0.1:1'),
    tenancy.command(...serve, 'mysql://x'),
  ])
  t.match(away, { code: 1, stderr: /the store cannot be reached/ })
  t.match(wrong, { code: 2, stderr: /the store URL cannot be used/ })
})
