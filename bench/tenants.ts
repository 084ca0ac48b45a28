/** `npm run bench:tenants [-- COUNT]`: how long list and look-up take with 100,000 tenants in the embedded store. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '../src/store/open.ts'
import { ABSENT, type Change } from '../src/store/store.ts'
import { mintKey, mintTenantId } from '../src/tenant/key.ts'
import { createRecords, KEY, NAME } from '../src/tenant/records.ts'
import { createRegistry } from '../src/tenant/registry.ts'
import { Roster } from '../src/tenant/roster.ts'
import { createSeal } from '../src/tenant/seal.ts'
import type { Tenant } from '../src/tenant/tenant.ts'

const COUNT = Number(process.argv[2] ?? 100_000)
/** Tenants a commit while the store is filled: each commit is a sync of the disk. */
const BATCH = 1000
const LOOK_UPS = 500

const seal = createSeal(Buffer.alloc(32, 7))
const onForged = (record: string): never => {
  throw new Error(`forged: ${record}`)
}
const records = createRecords(seal, onForged)

const tenantNumber = (n: number, key: string): Tenant => ({
  id: mintTenantId(),
  name: `tenant-${String(n).padStart(6, '0')}`,
  endpoint: 'default',
  policy: 'dedicated',
  plan: 'default',
  disabled: false,
  createdAt: n,
  certificateEpoch: 1,
  keys: [{ hash: seal.hashKey(key), label: 'default', createdAt: n }],
})

const changesFor = (tenant: Tenant): Change[] => [
  { key: NAME + tenant.name, value: tenant.id },
  records.write(tenant, ABSENT),
  ...tenant.keys.map(({ hash }) => ({ key: KEY + hash, value: tenant.id })),
]

const middle = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** Median of `times` runs, in ms. */
const timed = async (times: number, work: (n: number) => unknown): Promise<number> => {
  const taken: number[] = []
  for (let n = 0; n < times; n++) {
    const started = performance.now()
    await work(n)
    taken.push(performance.now() - started)
  }
  return middle(taken)
}

const folder = mkdtempSync(join(tmpdir(), 'berth-bench-tenants-'))
try {
  const store = await openStore(`lmdb://${folder}`)
  const keys = Array.from({ length: COUNT }, mintKey)
  const filling = performance.now()
  for (let from = 0; from < COUNT; from += BATCH)
    await store.commit(
      keys.slice(from, from + BATCH).flatMap((key, n) => changesFor(tenantNumber(from + n, key))),
    )
  const filled = performance.now() - filling

  const registry = createRegistry({ store, seal, now: Date.now, onForged })
  const roster = await Roster.open({ store, seal, now: Date.now, onForged })
  const some = (n: number): string => keys[(n * 7919) % COUNT] ?? ''
  const figures = {
    [`fill with ${COUNT} tenants`]: filled,
    'list, first page of 100': await timed(20, () => registry.list()),
    'list, a page in the middle': await timed(20, () =>
      registry.list(`tenant-${String(COUNT >> 1).padStart(6, '0')}`),
    ),
    'show by name': await timed(LOOK_UPS, (n) =>
      registry.show(`tenant-${String((n * 7919) % COUNT).padStart(6, '0')}`),
    ),
    'key, first look-up': await timed(LOOK_UPS, (n) => roster.byKey(seal.hashKey(some(n)))),
    'key, known by heart': await timed(LOOK_UPS, (n) => roster.known(seal.hashKey(some(n)))),
    'unknown key': await timed(LOOK_UPS, () => roster.byKey(seal.hashKey(mintKey()))),
  }
  for (const [what, ms] of Object.entries(figures))
    console.log(`${what.padEnd(32)} ${ms.toFixed(3).padStart(12)} ms`)
  roster.close()
  await store.close()
} finally {
  rmSync(folder, { recursive: true })
}
