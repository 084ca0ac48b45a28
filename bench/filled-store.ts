/** An embedded store in a folder of its own with so many tenants in it, each of whom has one key. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '../src/store/open.ts'
import { ABSENT, type Change, type Store } from '../src/store/store.ts'
import { mintKey, mintTenantId } from '../src/tenant/key.ts'
import { createRecords, KEY, NAME } from '../src/tenant/records.ts'
import { Roster } from '../src/tenant/roster.ts'
import { createSeal } from '../src/tenant/seal.ts'
import type { Tenant } from '../src/tenant/tenant.ts'

/** Tenants a commit while the store is filled: each commit is a sync of the disk. */
const BATCH = 1000

export const seal = createSeal(Buffer.alloc(32, 7))
export const onForged = (record: string): never => {
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

interface FilledStore {
  readonly store: Store
  readonly roster: Roster
  /** One a tenant, in the order of their names. */
  readonly keys: readonly string[]
  readonly filledMs: number
  /** Removes it again. */
  close(): Promise<void>
}

export const fillStore = async (
  count: number,
  rosterOptions: { readonly capacity?: number } = {},
): Promise<FilledStore> => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-bench-store-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', remove)
  const store = await openStore(`lmdb://${folder}`)
  const keys = Array.from({ length: count }, mintKey)
  const started = performance.now()
  for (let from = 0; from < count; from += BATCH)
    await store.commit(
      keys.slice(from, from + BATCH).flatMap((key, n) => changesFor(tenantNumber(from + n, key))),
    )
  const filledMs = performance.now() - started
  const roster = await Roster.open({ store, seal, now: Date.now, onForged, ...rosterOptions })
  const close = async (): Promise<void> => {
    roster.close()
    await store.close()
    process.off('exit', remove)
    remove()
  }
  return { store, roster, keys, filledMs, close }
}
