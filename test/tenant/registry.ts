/** What operators do to tenants, several of them at once, in a store that others may write to. */

import { join } from 'node:path'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { openLmdb } from '../../src/store/lmdb.ts'
import { createRegistry } from '../../src/tenant/registry.ts'
import { loadSeal } from '../../src/tenant/seal.ts'
import type { Tenant } from '../../src/tenant/tenant.ts'

/** Two registries of two processes, as far as the store can tell. */
const open = async (t: Test) => {
  const path = t.testdir()
  const stores = [await openLmdb(join(path, 'db')), await openLmdb(join(path, 'db'))] as const
  t.teardown(() => Promise.all(stores.map((store) => store.close())))
  const seal = loadSeal(join(path, 'secret'))
  const clock = { now: 1_700_000_000_000 }
  const forged: string[] = []
  const [a, b] = stores.map((store) =>
    createRegistry({
      store,
      seal,
      now: () => clock.now,
      onForged: (record) => forged.push(record),
    }),
  )
  if (!(a && b)) throw new Error('unreachable')
  return { a, b, store: stores[0], seal, clock, forged }
}

const OF_ALL = { endpoint: 'local', policy: 'dedicated', plan: 'small' } as const

const collect = async (entries: AsyncIterable<{ key: string; value: Buffer }>) => {
  const found: string[] = []
  for await (const { key, value } of entries) found.push(`${key}=${value}`)
  return found
}

test('a tenant is added with a key that is shown once and kept nowhere', async (t) => {
  const { a, b, store, seal, clock } = await open(t)
  const { tenant, key } = await a.add({ name: 'ann', ...OF_ALL, label: 'laptop' })
  t.match(tenant, {
    name: 'ann',
    endpoint: 'local',
    policy: 'dedicated',
    plan: 'small',
    disabled: false,
    createdAt: clock.now,
    keys: [{ hash: seal.hashKey(key), label: 'laptop', createdAt: clock.now }],
  })
  t.same(await b.show('ann'), tenant)
  const everything = [
    ...(await collect(store.range('t'))),
    ...(await collect(store.range('n'))),
    ...(await collect(store.range('k'))),
  ]
  t.equal(everything.length, 3)
  t.notMatch(everything.join('\n').toLowerCase(), key)
})

test('a name is taken once, even by two who add it at the same moment', async (t) => {
  const { a, b } = await open(t)
  const results = await Promise.allSettled(
    [a, b, a, b].map((one) => one.add({ name: 'x', ...OF_ALL })),
  )
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const result of results) {
    if (result.status === 'rejected') t.match(result.reason, { code: 'TENANT_EXISTS' })
  }
  t.equal((await a.list()).tenants.length, 1)
})

test('what is asked of nobody names nobody', async (t) => {
  const { a } = await open(t)
  const calls: (() => Promise<unknown>)[] = [
    () => a.show('none'),
    () => a.disable('none'),
    () => a.rotate('none', { overlap: 0 }),
    () => a.remove('none'),
  ]
  for (const call of calls) {
    await t.rejects(call(), { code: 'NO_SUCH_TENANT', message: /"none".*berth tenant list/ })
  }
})

test('a wrong word is refused before anything is written', async (t) => {
  const { a } = await open(t)
  await t.rejects(a.add({ name: 'A', ...OF_ALL }), { code: 'TENANT_INVALID' })
  await t.rejects(a.add({ name: 'a', ...OF_ALL, endpoint: '' }), { code: 'TENANT_INVALID' })
  await t.rejects(a.add({ name: 'a', ...OF_ALL, expiresAt: -1 }), { code: 'TENANT_INVALID' })
  await t.rejects(a.add({ name: 'a', ...OF_ALL, hostKey: { cidrs: ['x'] } }), {
    code: 'TENANT_INVALID',
  })
  t.same((await a.list()).tenants, [])
})

test('after a rotation both keys are good, until the overlap is over', async (t) => {
  const { a, clock, seal, store } = await open(t)
  const first = await a.add({ name: 'ann', ...OF_ALL })
  clock.now += 1000
  const second = await a.rotate('ann', { overlap: 60_000, label: 'new' })
  t.match(second.tenant.keys, [
    { hash: seal.hashKey(first.key), expiresAt: clock.now + 60_000 },
    { hash: seal.hashKey(second.key), label: 'new', expiresAt: undefined },
  ])
  clock.now += 1000
  const third = await a.rotate('ann', { overlap: 5000 })
  t.same(
    third.tenant.keys.map(({ hash }) => hash),
    [seal.hashKey(second.key), seal.hashKey(third.key)],
    'two keys overlap, never three',
  )
  const last = await a.rotate('ann', { overlap: 0 })
  t.same(
    last.tenant.keys.map(({ hash }) => hash),
    [seal.hashKey(last.key)],
  )
  t.equal((await collect(store.range('key/'))).length, 1, 'nothing points to old keys')
})

test('a tenant is disabled, enabled, changed and removed', async (t) => {
  const { a, b, store } = await open(t)
  const { tenant } = await a.add({ name: 'ann', ...OF_ALL })
  t.equal((await a.disable('ann')).disabled, true)
  t.equal((await b.enable('ann')).disabled, false)
  t.match(await a.change('ann', { plan: 'large', hostKey: { cidrs: ['10.0.0.0/8'] } }), {
    plan: 'large',
    endpoint: 'local',
    hostKey: { cidrs: ['10.0.0.0/8'] },
  })
  t.match(await a.change('ann', { policy: 'open' }), { policy: 'open', hostKey: {} })
  t.notOk('hostKey' in (await a.change('ann', { hostKey: null })))
  t.equal((await a.revokeCertificates('ann')).certificateEpoch, tenant.certificateEpoch + 1)
  t.same((await a.revokeKey('ann', tenant.keys[0]?.hash ?? '')).keys, [])
  await b.remove('ann')
  await t.rejects(a.show('ann'), { code: 'NO_SUCH_TENANT' })
  t.same(await collect(store.range('t')), [])
  t.same(await collect(store.range('k')), [])
  const again = await a.add({ name: 'ann', ...OF_ALL })
  t.not(again.tenant.id, tenant.id, 'a new tenant of an old name is somebody else')
})

test('changes that two processes make at once are all made', async (t) => {
  const { a, b } = await open(t)
  const { tenant } = await a.add({ name: 'ann', ...OF_ALL })
  await Promise.all(Array.from({ length: 30 }, (_, i) => (i % 2 ? a : b).revokeCertificates('ann')))
  t.equal((await a.show('ann')).certificateEpoch, tenant.certificateEpoch + 30)
})

test('tenants are listed by name, page by page', async (t) => {
  const { a, b } = await open(t)
  const names = Array.from({ length: 25 }, (_, i) => `t${String(i).padStart(2, '0')}`)
  await Promise.all(names.map((name) => a.add({ name, ...OF_ALL })))
  const seen: string[] = []
  for (let next: string | undefined = ''; next !== undefined; ) {
    const page: { tenants: readonly Tenant[]; next?: string } = await b.list(next || undefined, 10)
    seen.push(...page.tenants.map(({ name }) => name))
    next = page.next
  }
  t.same(seen, names)
})

test('whatever operators do in whatever order, names, keys and tenants agree', async (t) => {
  const { a, b, store, clock } = await open(t)
  const name = fc.constantFrom('x', 'y', 'z')
  const does = fc.constantFrom(
    (name: string) => a.add({ name, ...OF_ALL }),
    (name: string) => b.remove(name),
    (name: string) => a.rotate(name, { overlap: 10 }),
    (name: string) => b.rotate(name, { overlap: 0 }),
    (name: string) => a.disable(name),
  )
  const property = fc.asyncProperty(
    fc.array(fc.tuple(does, name), { minLength: 1, maxLength: 6 }),
    async (steps) => {
      clock.now += 1
      await Promise.allSettled(steps.map(([act, name]) => act(name)))
      const { tenants } = await a.list()
      const keys = tenants.flatMap(({ id, keys }) => keys.map(({ hash }) => `key/${hash}=${id}`))
      const pointers = tenants.map(({ name, id }) => `name/${name}=${id}`)
      return (
        (await collect(store.range('key/'))).join() === keys.sort().join() &&
        (await collect(store.range('name/'))).join() === pointers.join() &&
        (await collect(store.range('tenant/'))).length === tenants.length
      )
    },
  )
  await t.resolves(fc.assert(property, { numRuns: 40 }))
})

test('a record that was not sealed here counts as absent, and is told of once', async (t) => {
  const { a, store, forged } = await open(t)
  const ann = await a.add({ name: 'ann', ...OF_ALL })
  const eve = await a.add({ name: 'eve', ...OF_ALL })
  const record = `tenant/${ann.tenant.id}`
  const sealed = (await store.get(record))?.value.toString() ?? ''
  await store.put(record, sealed.replace('"dedicated"', '"open"     '))
  await t.rejects(a.show('ann'), { code: 'NO_SUCH_TENANT' })
  await t.rejects(a.show('ann'), { code: 'NO_SUCH_TENANT' })
  t.same(forged, [record])
  await store.put(record, (await store.get(`tenant/${eve.tenant.id}`))?.value ?? '')
  await t.rejects(a.show('ann'), { code: 'NO_SUCH_TENANT' }, 'nor does a copy of another record')
  await store.put('name/ann', eve.tenant.id)
  await t.rejects(a.show('ann'), { code: 'NO_SUCH_TENANT' }, 'nor a name that leads to another')
  t.same(
    (await a.list()).tenants.map(({ name }) => name),
    ['eve'],
  )
  t.equal((await a.add({ name: 'ann', ...OF_ALL })).tenant.name, 'ann', 'the name is free again')
})
