/**
 * How tenants lie in the store. Only `tenant/ID` grants anything, so only it is sealed: what the other records say
 * counts as far as the tenant's own record confirms it.
 */

import type { Change, Entry } from '../store/store.ts'
import type { Seal } from './seal.ts'
import type { Tenant } from './tenant.ts'

export const TENANT = 'tenant/'
export const NAME = 'name/'
export const KEY = 'key/'
export const USED = 'used/'

/** Told once of each record that was not written by a berth with the same secret. Such a record counts as absent. */
export type OnForged = (record: string) => void

/** Forged records that are remembered as told; whoever forges more is told again. */
const MOST_TOLD = 1000

export interface Records {
  /** The tenant in an entry of `tenant/`. */
  read(entry: Entry | undefined): Tenant | undefined
  /** The change that writes `tenant`; without `expect`, whatever was there. */
  write(tenant: Tenant, expect?: number): Change
}

export const createRecords = (seal: Seal, onForged: OnForged): Records => {
  const told = new Set<string>()
  const tell = (record: string): undefined => {
    if (told.has(record)) return
    if (told.size >= MOST_TOLD) told.clear()
    told.add(record)
    onForged(record)
  }
  return {
    read: (entry) => {
      if (entry === undefined) return undefined
      const body = seal.open(entry.key, entry.value.toString())
      // sealed, so berth wrote it: there is nothing to validate
      return body === undefined ? tell(entry.key) : (JSON.parse(body) as Tenant)
    },
    write: (tenant, expect) => {
      const key = TENANT + tenant.id
      return { key, expect, value: seal.close(key, JSON.stringify(tenant)) }
    },
  }
}
