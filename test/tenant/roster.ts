/** What a serving process knows of tenants, while operators in other processes change them. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { openStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { mintKey } from '../../src/tenant/key.ts'
import { createRegistry, type Keyed } from '../../src/tenant/registry.ts'
import { Roster, type RosterOptions } from '../../src/tenant/roster.ts'
import { loadSeal } from '../../src/tenant/seal.ts'
import type { Standing } from '../../src/tenant/tenant.ts'
import { until } from '../contract/store.ts'
import type { Order } from '../support/operator.ts'
import { startRedis } from '../support/redis.ts'

const OPERATOR = join(import.meta.dirname, '../support/operator.ts')
const OF_ALL = { endpoint: 'local', policy: 'dedicated', plan: 'small' } as const

/** Counts the records that are read, which is what a look-up costs. */
const counting = (store: Store) => {
  const reads = { count: 0 }
  const get: Store['get'] = (key) => {
    reads.count += 1
    return store.get(key)
  }
  const counted = new Proxy(store, {
    get: (target, name) => {
      if (name === 'get') return get
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  return { counted, reads }
}

const open = async (t: Test, url: string, options: Partial<RosterOptions> = {}) => {
  const secret = join(t.testdir(), 'secret')
  const [store, elsewhere] = [await openStore(url), await openStore(url)]
  const seal = loadSeal(secret)
  const forged: string[] = []
  const parts = {
    seal,
    now: Date.now,
    onForged: (record: string) => forged.push(record),
    ...options,
  }
  const { counted, reads } = counting(store)
  const roster = await Roster.open({ ...parts, store: counted })
  t.teardown(async () => {
    roster.close()
    await Promise.all([store.close(), elsewhere.close()])
  })
  return {
    roster,
    registry: createRegistry({ ...parts, store: elsewhere }),
    store,
    reads,
    forged,
    secret,
  }
}

const lmdb = (t: Test): string => `lmdb://${t.testdir()}/db`

/** A process that changes tenants in the store at `url`. */
const startOperator = async (t: Test, url: string, secret: string) => {
  const child = fork(OPERATOR, [url, secret])
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
  return async (...order: Order): Promise<unknown> => {
    child.send(order)
    const [answer] = await once(child, 'message')
    return answer
  }
}

const revocation = async (t: Test, url: string): Promise<void> => {
  const { roster, secret } = await open(t, url)
  const order = await startOperator(t, url, secret)
  const add = async (name: string): Promise<Keyed> =>
    (await order('add', { name, ...OF_ALL })) as Keyed
  const [ann, bob] = [await add('ann'), await add('bob')]
  const ended: string[] = []
  const follow = async ({ key }: Keyed, label: string) => {
    const hash = roster.hashOf(key)
    const tenant = await roster.byKey(hash)
    if (tenant === undefined) throw new Error(`${label} is not known`)
    return roster.follow(tenant.id, { kind: 'key', hash }, (standing) => {
      ended.push(`${label} ${standing}`)
    })
  }
  await follow(ann, 'ann')
  await follow(bob, 'bob')
  roster.follow(
    bob.tenant.id,
    { kind: 'certificate', epoch: 1, expiresAt: Number.POSITIVE_INFINITY },
    (standing) => {
      ended.push(`certificate ${standing}`)
    },
  )

  await order('disable', 'ann')
  await until(() => ended.length > 0, 1000)
  t.same(ended, ['ann disabled'], 'a disabled tenant loses his streams, the other keeps his')
  t.equal(roster.known(roster.hashOf(ann.key))?.disabled, true)

  await order('revokeCertificates', 'bob')
  await until(() => ended.length > 1, 1000)
  t.equal(ended[1], 'certificate revoked')

  const next = (await order('rotate', 'bob', { overlap: 400 })) as Keyed
  await follow(next, 'bob anew')
  await until(() => ended.length > 2, 1500)
  t.equal(ended[2], 'bob expired', 'a key ends with its overlap, though nobody writes then')

  await order('revokeKey', 'bob', roster.hashOf(next.key))
  await until(() => ended.length > 3, 1000)
  t.equal(ended[3], 'bob anew revoked')

  await order('enable', 'ann')
  await until(() => roster.known(roster.hashOf(ann.key))?.disabled === false, 1000)
  const unfollow = await follow(ann, 'ann again')
  unfollow()
  await order('remove', 'ann')
  await until(() => roster.known(roster.hashOf(ann.key)) === undefined, 1000)
  t.equal(await roster.byKey(roster.hashOf(ann.key)), undefined)
  t.equal(ended.length, 4, 'who does not follow any more is not told')
}

test('what another process revokes ends here within a second, with LMDB', async (t) => {
  await revocation(t, lmdb(t))
})

test('what another process revokes ends here within a second, with Redis', async (t) => {
  const { port } = await startRedis(t)
  await revocation(t, `redis://127.0.0.1:${port}`)
})

test('a known key costs no read, a new one two, a wrong one one', async (t) => {
  const { roster, registry, reads } = await open(t, lmdb(t))
  const { key, tenant } = await registry.add({ name: 'ann', ...OF_ALL })
  const hash = roster.hashOf(key.toUpperCase())
  t.equal(roster.known(hash), undefined)
  t.same(await roster.byKey(hash), tenant)
  t.equal(reads.count, 2)
  t.same(roster.known(hash), tenant)
  t.same(await roster.byKey(hash), tenant)
  t.same(await roster.byId(tenant.id), tenant)
  t.equal(reads.count, 2)
  const wrong = roster.hashOf(mintKey())
  t.equal(await roster.byKey(wrong), undefined)
  t.equal(await roster.byKey(wrong), undefined)
  t.equal(reads.count, 3)
  t.equal(await roster.byId('aaaaaaaaaaaaaaaa'), undefined)
  t.equal(await roster.byId('aaaaaaaaaaaaaaaa'), undefined)
  t.equal(reads.count, 4)
})

test('a hundred who come with one key at once cost one reading of its tenant', async (t) => {
  const { roster, registry, reads } = await open(t, lmdb(t))
  const { tenant } = await registry.add({ name: 'ann', ...OF_ALL })
  const found = await Promise.all(Array.from({ length: 100 }, () => roster.byId(tenant.id)))
  t.ok(found.every((one) => one?.name === 'ann'))
  t.equal(reads.count, 1)
})

test('a valid key is expected before it was ever used, a wrong one is not', async (t) => {
  const url = lmdb(t)
  const { registry, secret } = await open(t, url)
  const before = await registry.add({ name: 'before', ...OF_ALL })
  const store = await openStore(url)
  const roster = await Roster.open({
    store,
    seal: loadSeal(secret),
    now: Date.now,
    onForged: () => undefined,
  })
  t.teardown(() => {
    roster.close()
    return store.close()
  })
  await until(() => roster.expects(roster.hashOf(before.key)), 1000)
  const after = await registry.add({ name: 'after', ...OF_ALL })
  await until(() => roster.expects(roster.hashOf(after.key)), 1000)
  t.equal(roster.expects(roster.hashOf(mintKey())), false)
})

test('a name that is given again belongs to whoever has it now', async (t) => {
  const { roster, registry, reads } = await open(t, lmdb(t))
  const { tenant: first } = await registry.add({ name: 'ann', ...OF_ALL })
  t.equal((await roster.byName('ann'))?.id, first.id)
  const before = reads.count
  t.equal((await roster.byName('ann'))?.id, first.id)
  t.equal(reads.count, before, 'who is known by name costs no read')
  await registry.remove('ann')
  const { tenant: second } = await registry.add({ name: 'ann', ...OF_ALL })
  await roster.byId(second.id)
  t.equal((await roster.byName('ann'))?.id, second.id)
  // news of the first one's end comes after the second was read, or before
  while ((await roster.byId(first.id)) !== undefined) await sleep(5)
  t.equal((await roster.byName('ann'))?.id, second.id)
  await registry.remove('ann')
  while ((await roster.byName('ann')) !== undefined) await sleep(5)
})

test('more tenants than there is room for: those with a connection stay', async (t) => {
  const { roster, registry } = await open(t, lmdb(t), { capacity: 3 })
  const keys = await Promise.all(
    ['a', 'b', 'c', 'd', 'e'].map((name) => registry.add({ name, ...OF_ALL })),
  )
  const hashes = keys.map(({ key }) => roster.hashOf(key))
  const [first = ''] = hashes
  await roster.byKey(first)
  const unfollow = roster.follow(keys[0]?.tenant.id ?? '', { kind: 'key', hash: first }, () =>
    t.fail('nothing was revoked'),
  )
  for (const hash of hashes.slice(1)) await roster.byKey(hash)
  t.same(
    hashes.map((hash) => roster.known(hash)?.name),
    ['a', undefined, undefined, 'd', 'e'],
  )
  unfollow()
})

test('who follows with something that is good no more is told at once', async (t) => {
  const { roster, registry } = await open(t, lmdb(t))
  const { tenant } = await registry.add({ name: 'ann', ...OF_ALL })
  await roster.byId(tenant.id)
  const told: Standing[] = []
  roster.follow(tenant.id, { kind: 'key', hash: 'other' }, (standing) => told.push(standing))
  roster.follow(
    'aaaaaaaaaaaaaaaa',
    { kind: 'certificate', epoch: 1, expiresAt: Number.POSITIVE_INFINITY },
    (standing) => told.push(standing),
  )
  await until(() => told.length === 2, 1000)
  t.same(told, ['revoked', 'revoked'])
})

test('the use of a key is written down, but not twice within a minute', async (t) => {
  const clock = { now: 1_700_000_000_000 }
  const { roster, registry, store } = await open(t, lmdb(t), { now: () => clock.now })
  const { key } = await registry.add({ name: 'ann', ...OF_ALL })
  const hash = roster.hashOf(key)
  const used = async () => (await registry.show('ann')).keys[0]?.lastUsedAt
  t.equal(await used(), undefined)
  const first = clock.now
  roster.used(hash)
  while ((await used()) === undefined) await sleep(5)
  const { revision } = (await store.get(`used/${hash}`)) ?? {}
  clock.now += 59_000
  roster.used(hash)
  await sleep(50)
  t.equal((await store.get(`used/${hash}`))?.revision, revision)
  clock.now += 2000
  roster.used(hash)
  while ((await used()) === first) await sleep(5)
  t.equal(await used(), clock.now)
  t.equal((await registry.list()).tenants[0]?.keys[0]?.lastUsedAt, clock.now)
})

test('without Redis known tenants go on for a while, and what changed meanwhile is heard when it is back', async (t) => {
  const server = await startRedis(t, { durable: true })
  const url = `redis://127.0.0.1:${server.port}`
  const clock = { ahead: 0 }
  const now = (): number => Date.now() + clock.ahead
  const { roster, registry, store } = await open(t, url, { now, staleFor: 60_000 })
  const { key, tenant } = await registry.add({ name: 'ann', ...OF_ALL })
  const hash = roster.hashOf(key)
  await roster.byKey(hash)
  const wrong = roster.hashOf(mintKey())
  await roster.byKey(wrong)
  const ended: Standing[] = []
  roster.follow(tenant.id, { kind: 'key', hash }, (standing) => ended.push(standing))

  await server.kill()
  await until(() => store.state === 'away')
  t.equal((await roster.byKey(hash))?.name, 'ann')
  t.equal((await roster.byName('ann'))?.id, tenant.id, 'whom a certificate names goes on as well')
  await t.rejects(roster.byName('bob'), { code: 'STORE_UNAVAILABLE' })
  t.equal(await roster.byKey(wrong), undefined, 'a key known to be wrong is still wrong')
  await t.rejects(roster.byKey(roster.hashOf(mintKey())), { code: 'STORE_UNAVAILABLE' })
  await t.rejects(registry.disable('ann'), { code: 'STORE_UNAVAILABLE' })
  clock.ahead = 61_000
  await t.rejects(roster.byKey(hash), { code: 'STORE_UNAVAILABLE', message: /too long/ })
  t.throws(() => roster.known(hash), { code: 'STORE_UNAVAILABLE' })
  await t.rejects(roster.byName('ann'), { code: 'STORE_UNAVAILABLE', message: /too long/ })
  t.same(ended, [], 'nobody was cut off')

  await server.start()
  // whoever is back first may write before the others have noticed
  const elsewhere = await openStore(url)
  t.teardown(() => elsewhere.close())
  const operator = createRegistry({
    store: elsewhere,
    seal: loadSeal(join(t.testdirName, 'secret')),
    now,
    onForged: () => undefined,
  })
  await operator.disable('ann')
  await until(() => ended.length > 0)
  t.same(ended, ['disabled'])
  await until(() => store.state === 'up')
  t.equal((await roster.byKey(hash))?.disabled, true)
})

test('a forged record makes nobody a tenant, and a key record lends nobody a key', async (t) => {
  const { roster, registry, store, forged } = await open(t, lmdb(t))
  const { tenant } = await registry.add({ name: 'ann', ...OF_ALL })
  const eve = roster.hashOf(mintKey())
  await store.put(`key/${eve}`, tenant.id)
  t.equal(await roster.byKey(eve), undefined, 'her key is not in his record')
  const record = (await store.get(`tenant/${tenant.id}`))?.value.toString() ?? ''
  await store.put(`tenant/${tenant.id}`, record.replace(/"hash":"[^"]+"/, `"hash":"${eve}"`))
  await until(() => roster.known(tenant.keys[0]?.hash ?? '') === undefined, 1000)
  t.equal(await roster.byKey(eve), undefined, 'nor can she write it there')
  await store.put('key/x', 'bbbbbbbbbbbbbbbb')
  await store.put('tenant/bbbbbbbbbbbbbbbb', record)
  t.equal(await roster.byId('bbbbbbbbbbbbbbbb'), undefined, 'nor copy his')
  t.same([...new Set(forged)].sort(), [`tenant/${tenant.id}`, 'tenant/bbbbbbbbbbbbbbbb'].sort())
})

test('a new key of a tenant who is known already is good at once', async (t) => {
  const { roster, registry } = await open(t, lmdb(t))
  const { tenant } = await registry.add({ name: 'ann', ...OF_ALL })
  await roster.byId(tenant.id)
  for (let i = 0; i < 20; i += 1) {
    const { key } = await registry.rotate('ann', { overlap: 60_000 })
    t.equal((await roster.byKey(roster.hashOf(key)))?.id ?? 'not yet', tenant.id)
  }
})
