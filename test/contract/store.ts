/** What every store must do, whatever it is made of. */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Test } from 'tap'
import { ABSENT, type Entry, type Store } from '../../src/store/store.ts'

/** Opens stores that share their data, as processes would; each call of `connect` is another of them. */
export type Place = (t: Test) => Promise<{ connect(): Promise<Store> }>

const collect = async (entries: AsyncIterable<Entry>): Promise<[string, string][]> => {
  const found: [string, string][] = []
  for await (const { key, value } of entries) found.push([key, value.toString()])
  return found
}

/** Waits for `isTrue`, at most `limit` ms; returns how long it took. */
export const until = async (isTrue: () => boolean, limit = 5000): Promise<number> => {
  const start = performance.now()
  while (!isTrue()) {
    if (performance.now() - start > limit) throw new Error(`not within ${limit} ms: ${isTrue}`)
    await sleep(5)
  }
  return performance.now() - start
}

const increment = async (store: Store, key: string, times: number): Promise<void> => {
  for (let done = 0; done < times; ) {
    const entry = await store.get(key)
    const next = String(Number(entry?.value ?? 0) + 1)
    if (await store.compareAndSet(key, entry?.revision ?? ABSENT, next)) done += 1
  }
}

const key = fc.string({
  unit: fc.constantFrom('a', 'b', '/', 'Z', '0', '~', '!', '-'),
  minLength: 1,
  maxLength: 4,
})
/** One thing to do to a store and to a map, under names of the run's own. */
type Operation = (store: Store, model: Map<string, string>, run: string) => Promise<void>

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

const putting = fc.tuple(key, fc.string()).map(([key, value]): Operation => {
  return async (store, model, run) => {
    await store.put(run + key, value)
    model.set(run + key, value)
  }
})

const deleting = key.map((key): Operation => {
  return async (store, model, run) => {
    await store.delete(run + key)
    model.delete(run + key)
  }
})

const ranging = fc.tuple(key, fc.option(key)).map(([prefix, after]): Operation => {
  return async (store, model, run) => {
    const start = after === null ? '' : run + after
    const expected = [...model]
      .filter(([key]) => key.startsWith(run + prefix) && byBytes(key, start) > 0)
      .sort(([a], [b]) => byBytes(a, b))
    const found = await collect(store.range(run + prefix, after === null ? undefined : start))
    assert.deepEqual(found, expected)
  }
})

/** Runs the suite against the stores of `place`, as subtests of `t`. */
export const storeContract = (parent: Test, place: Place): void => {
  const test = (name: string, body: (t: Test, a: Store, b: Store) => Promise<void>): void => {
    void parent.test(name, async (t) => {
      const { connect } = await place(t)
      const stores = [await connect(), await connect()] as const
      t.teardown(() => Promise.all(stores.map((store) => store.close())))
      await body(t, ...stores)
    })
  }

  test('what one process puts, another gets', async (t, a, b) => {
    t.equal(a.state, 'up')
    t.equal(await b.get('k'), undefined)
    const revision = await a.put('k', 'grüße')
    const entry = await b.get('k')
    t.same(entry, { key: 'k', value: Buffer.from('grüße'), revision })
    await b.delete('k')
    t.equal(await a.get('k'), undefined)
  })

  test('bytes come back as they went in', async (t, a) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    await a.put('k', bytes)
    t.same((await a.get('k'))?.value, Buffer.from(bytes))
    await a.put('k', '')
    t.equal((await a.get('k'))?.value.length, 0)
  })

  test('a key never sees the same revision twice, not even after a delete', async (t, a, b) => {
    const first = await a.put('k', '1')
    await b.delete('k')
    const second = await b.put('k', '1')
    t.ok(second > first)
    t.equal(await a.compareAndSet('k', first, '2'), undefined)
    t.ok(await a.compareAndSet('k', second, '2'))
  })

  test('compare-and-set writes, deletes and creates only what is as expected', async (t, a) => {
    const revision = await a.compareAndSet('k', ABSENT, '1')
    t.ok(revision)
    t.equal(await a.compareAndSet('k', ABSENT, '2'), undefined)
    t.equal(await a.compareAndSet('other', revision ?? 0, '2'), undefined)
    t.equal((await a.get('k'))?.value.toString(), '1')
    t.ok(await a.compareAndSet('k', revision ?? 0, undefined))
    t.equal(await a.get('k'), undefined)
  })

  test('two processes that count with compare-and-set lose nothing', async (t, a, b) => {
    await Promise.all([a, b, a, b].map((store) => increment(store, 'n', 25)))
    t.equal((await a.get('n'))?.value.toString(), '100')
  })

  test('a commit makes all of its changes or none', async (t, a, b) => {
    await a.put('old', '1')
    t.equal(
      await a.commit([
        { key: 'new', value: '1' },
        { key: 'old', expect: ABSENT, value: '2' },
      ]),
      undefined,
    )
    t.equal(await b.get('new'), undefined)
    const revision = await a.commit([
      { key: 'new', expect: ABSENT, value: '1' },
      { key: 'old' },
      { key: 'third', value: '3' },
    ])
    t.equal((await b.get('new'))?.revision, revision)
    t.equal((await b.get('third'))?.revision, revision)
    t.equal(await b.get('old'), undefined)
  })

  test('a range has every record below its prefix, in order, whatever their number', async (t, a, b) => {
    const keys = Array.from({ length: 600 }, (_, i) => `many/${i}`)
    await a.commit(keys.map((key) => ({ key, value: key })))
    await a.commit(['many', 'many.', 'many0'].map((key) => ({ key, value: 'outside' })))
    const sorted = keys.toSorted(byBytes)
    t.same(
      await collect(b.range('many/')),
      sorted.map((key) => [key, key]),
    )
    t.same(
      (await collect(b.range('many/', 'many/555'))).map(([key]) => key),
      sorted.slice(sorted.indexOf('many/555') + 1),
    )
    t.same(await collect(b.range('none/')), [])
  })

  test('a store behaves like a sorted map', async (t, a) => {
    let run = 0
    const operations = fc.array(fc.oneof(putting, deleting, ranging), { maxLength: 12 })
    const property = fc.asyncProperty(operations, async (operations) => {
      run += 1
      const model = new Map<string, string>()
      for (const operation of operations) await operation(a, model, `${run}:`)
    })
    await t.resolves(fc.assert(property, { numRuns: 60 }))
  })

  test('a lease has one holder at a time, and fences grow', async (t, a, b) => {
    const first = await a.lease('l', 60_000)
    t.ok(first)
    t.equal(await b.lease('l', 60_000), undefined)
    t.equal(await a.lease('l', 60_000), undefined, 'not even its own process takes it again')
    const other = await b.lease('m', 60_000)
    t.ok((other?.fence ?? 0) > (first?.fence ?? 0))
    await first?.release()
    const second = await b.lease('l', 60_000)
    t.ok((second?.fence ?? 0) > (other?.fence ?? 0))
  })

  test('a lease that nobody renews ends, and its late holder can do no harm', async (t, a, b) => {
    const first = await a.lease('l', 80)
    const kept = await a.lease('kept', 80)
    t.ok(await kept?.renew(60_000))
    t.ok((kept?.expiresAt ?? 0) > (first?.expiresAt ?? 0) + 10_000)
    await sleep(120)
    const second = await b.lease('l', 60_000)
    t.ok(second, 'what was not renewed is free')
    t.equal(await b.lease('kept', 60_000), undefined, 'what was renewed is not')
    t.equal(await first?.renew(60_000), false)
    await first?.release()
    t.equal(await a.lease('l', 60_000), undefined, 'a late release does not free it')
    t.ok(await second?.renew(60_000))
  })

  test('twenty who want a lease at once: one gets it', async (t, a, b) => {
    const leases = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).lease('l', 60_000)),
    )
    t.equal(leases.filter((lease) => lease !== undefined).length, 1)
  })

  test('a watcher hears at once, or nearly, what another process changed', async (t, a, b) => {
    const heard: string[] = []
    const unwatch = await b.watch('in/', {
      changed: (key) => heard.push(key),
      missed: () => t.fail('nothing was missed'),
    })
    await a.put('out/1', 'x')
    await a.put('in/1', 'x')
    t.ok((await until(() => heard.length > 0)) < 500, 'a put')
    await a.commit([{ key: 'in/1' }, { key: 'in/2', value: 'x' }])
    await until(() => heard.length >= 3)
    await b.put('in/own', 'x')
    await until(() => heard.length >= 4)
    t.same(heard, ['in/1', 'in/1', 'in/2', 'in/own'])
    unwatch()
    await a.put('in/3', 'x')
    await sleep(300)
    t.equal(heard.length, 4, 'nothing after it was ended')
  })

  test('no change is lost between a watch and what is read after it', async (t, a, b) => {
    const seen = new Set<string>()
    const writing = (async () => {
      for (let i = 0; i < 200; i += 1) await a.put(`w/${i}`, 'x')
    })()
    await b.watch('w/', { changed: (key) => seen.add(key), missed: () => undefined })
    for await (const { key } of b.range('w/')) seen.add(key)
    await writing
    await until(() => seen.size === 200)
    t.equal(seen.size, 200)
  })

  test('a key that is no key is a bug and fails as one', async (t, a) => {
    for (const key of ['', 'a b', 'ü', 'x'.repeat(513), 'a\n']) {
      await t.rejects(async () => await a.get(key), TypeError)
      await t.rejects(async () => await a.put(key, ''), TypeError)
    }
  })
}
