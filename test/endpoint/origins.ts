/** What is known of an image survives the process where there is a store, and cannot be written by anybody else. */
import { test } from 'tap'
import { Origins } from '../../src/endpoint/origins.ts'
import { openStore } from '../../src/store/open.ts'
import { createSeal } from '../../src/tenant/seal.ts'

const ENGINE = 'alice unix:///run/docker.sock'
const ID = `sha256:${'a'.repeat(64)}`
const HUB = { kind: 'pulled', from: 'docker.io/library/redis:7' } as const
const OTHER = { kind: 'pulled', from: 'r.example.com/redis:7' } as const

test('without a store it is known for as long as the process runs', async (t) => {
  const origins = new Origins()
  t.strictSame(await origins.of(ENGINE, ID), [])
  await origins.record(ENGINE, ID, [HUB.from])
  await origins.record(ENGINE, ID, [OTHER.from, HUB.from])
  t.strictSame((await origins.of(ENGINE, ID)).toSorted(), [OTHER, HUB].toSorted())
  t.strictSame(await origins.of('bob unix:///run/docker.sock', ID), [], 'each engine for itself')
})

test('in a store it is known to every process with the same secret', async (t) => {
  const store = await openStore(`lmdb://${t.testdir()}`)
  t.teardown(() => store.close())
  const seal = createSeal(Buffer.alloc(32, 1))
  await new Origins({ store, seal }).record(ENGINE, ID, [HUB.from])
  const later = new Origins({ store, seal })
  t.strictSame(await later.of(ENGINE, ID), [HUB])
  const stranger = new Origins({ store, seal: createSeal(Buffer.alloc(32, 2)) })
  t.strictSame(await stranger.of(ENGINE, ID), [], 'a record with another seal says nothing')
  await stranger.record(ENGINE, ID, [OTHER.from])
  t.strictSame(await new Origins({ store, seal }).of(ENGINE, ID), [])
  t.strictSame(await later.of(ENGINE, ID), [HUB], 'who has read the true one remembers it')
})

test('while the store is away, what the process knows still holds', async (t) => {
  const store = await openStore(`lmdb://${t.testdir()}`)
  t.teardown(() => store.close())
  const seal = createSeal(Buffer.alloc(32, 1))
  const weak = {
    state: 'up' as 'up' | 'away',
    get: store.get.bind(store),
    put: store.put.bind(store),
  }
  const origins = new Origins({ store: weak, seal })
  await origins.record(ENGINE, ID, [HUB.from])
  weak.state = 'away'
  t.strictSame(await origins.of(ENGINE, ID), [HUB])
})
