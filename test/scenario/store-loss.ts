/** The store goes away, or the process that writes to it is killed: what was known stays good, what was written stays written. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { docker, startDocker } from '../../fixtures/docker.ts'
import { startEngine } from '../../fixtures/engine.ts'
import { openRecords } from '../../src/cli/tenancy.ts'
import { createRegistry } from '../../src/tenant/registry.ts'
import { succeed } from '../support/docker.ts'
import { startRedis } from '../support/redis.ts'
import { openTenancy } from '../support/tenancy.ts'
import type { Written } from '../support/tenant-writer.ts'

const SOAK = process.env.BERTH_SOAK === '1'

/** Resolves to whether it `holds` before long. */
const soon = async (holds: () => Promise<boolean>, patience = 5000): Promise<boolean> => {
  for (const deadline = Date.now() + patience; Date.now() < deadline; await delay(50))
    if (await holds()) return true
  return false
}

test('while Redis is away known tenants go on, writes fail clearly, and all heals', async (t) => {
  const engine = await startEngine()
  t.teardown(() => engine.stop())
  const redis = await startRedis(t, { durable: true })
  const tenancy = await openTenancy(t, `redis://127.0.0.1:${redis.port}`)
  const ann = await tenancy.add({ name: 'ann', endpoint: engine.url })
  const ben = await tenancy.add({ name: 'ben', endpoint: engine.url })
  const patient = await tenancy.serve()
  const strict = await tenancy.serve({ env: { BERTH_CACHE_SECONDS: '1' } })
  const ps = (berth: { url: string }, { key }: { key: string }) =>
    docker(berth, ['ps'], { env: { DOCKER_CUSTOM_HEADERS: `X-Berth-Key=${key}` } })
  const events = await startDocker(patient, ['events'], {
    env: { DOCKER_CUSTOM_HEADERS: `X-Berth-Key=${ann.key}` },
  })
  let heard = ''
  events.stdout.on('data', (text) => {
    heard += text
  })
  const runs = ['run', '--rm', '--network', 'none', 'busybox', 'true']
  t.ok(
    await soon(async () => {
      await succeed(engine, runs)
      return heard.includes('container start')
    }),
    'a stream is open',
  )
  t.match(await ps(patient, ann), { code: 0 })
  t.match(await ps(strict, ann), { code: 0 })

  await redis.kill()
  t.match(await ps(patient, ann), { code: 0 }, 'known before')
  t.match(
    await ps(patient, ben),
    { code: 1, stderr: /berth: the store cannot be reached/ },
    'not known before',
  )
  const refused = await tenancy.command('tenant', 'add', 'cat')
  t.match(refused, { code: 1, stdout: '', stderr: /^berth: the store cannot be reached: .*\n$/ })
  t.ok(
    await soon(async () => /away for too long/.test((await ps(strict, ann)).stderr)),
    'a berth with little trust in its cache refuses after that time',
  )
  t.match(await ps(patient, ann), { code: 0 })

  await redis.start()
  t.ok(await soon(async () => (await ps(patient, ben)).code === 0), 'the others are found again')
  t.ok(await soon(async () => (await ps(strict, ann)).code === 0))
  heard = ''
  await succeed(engine, runs)
  t.ok(await soon(async () => heard.includes('container start')), 'what was open is open still')
  await tenancy.order('tenant', 'add', 'cat')
  const ended = once(events, 'close')
  await tenancy.order('tenant', 'disable', 'ann')
  await ended
  t.match(await ps(patient, ann), { code: 1, stderr: /disabled/ }, 'news is heard again')
})

const RUNS = SOAK ? 200 : 20
const AT_ONCE = 2
/** As built: a loader would take longer than the writing. */
const WRITER = fileURLToPath(new URL('../../dist/test/support/tenant-writer.js', import.meta.url))

/** Writes to the records in `state` until it is killed, at a random moment; returns what was acknowledged. */
const writeAndDie = async (state: string, prefix: string): Promise<Written[]> => {
  const child = fork(WRITER, [state, prefix], { execArgv: [] })
  const written: Written[] = []
  await once(child, 'message')
  child.on('message', (message) => written.push(message as Written))
  await delay(Math.random() * 120)
  const gone = once(child, 'close')
  child.kill('SIGKILL')
  await gone
  return written
}

test(`kill -9 of ${RUNS} writers loses no acknowledged write of a tenant or a key`, async (t) => {
  const state = mkdtempSync(join(tmpdir(), 'berth-loss-'))
  t.teardown(() => rmSync(state, { recursive: true, force: true }))
  const written: Written[] = []
  for (let run = 0; run < RUNS; run += AT_ONCE) {
    const prefixes = Array.from({ length: AT_ONCE }, (_, i) => `w${run + i}`)
    const all = await Promise.all(prefixes.map((prefix) => writeAndDie(state, prefix)))
    written.push(...all.flat())
    const { store } = await openRecords({ state, store: undefined })
    t.equal(store.state, 'up', 'it opens')
    await store.close()
  }
  t.ok(written.length > RUNS, `${written.length} writes were acknowledged`)
  const { store, seal } = await openRecords({ state, store: undefined })
  t.teardown(() => store.close())
  const forged: string[] = []
  const onForged = (record: string) => void forged.push(record)
  const registry = createRegistry({ store, seal, now: Date.now, onForged })
  const lost: Written[] = []
  for (const each of written) {
    const hash = seal.hashKey(each.key)
    const tenant = await registry.show(each.name).catch(() => undefined)
    const owner = (await store.get(`key/${hash}`))?.value.toString()
    const isThere =
      tenant?.keys.length === 1 && tenant.keys[0]?.hash === hash && owner === tenant.id
    if (!isThere || tenant.disabled !== each.disabled) lost.push(each)
  }
  t.same(lost, [])
  t.same(forged, [])
})
