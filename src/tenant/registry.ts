/** The tenants in the store: every change that an operator can make, safe against others who make theirs. */

import { Failure } from '../errors.ts'
import { ABSENT, type Change, type Entry, type Store } from '../store/store.ts'
import { mintKey, mintTenantId } from './key.ts'
import { createRecords, KEY, NAME, type OnForged, TENANT, USED } from './records.ts'
import type { Seal } from './seal.ts'
import {
  checkEndpoint,
  checkHostKey,
  checkLabel,
  checkName,
  checkNewName,
  checkTime,
  checkWord,
  type HostKey,
  type Tenant,
  type TenantKey,
} from './tenant.ts'

export interface NewTenant {
  readonly name: string
  readonly endpoint: string
  readonly policy: string
  readonly plan: string
  readonly hostKey?: HostKey | undefined
  /** Of the first key. */
  readonly label?: string | undefined
  readonly expiresAt?: number | undefined
}

/** What may be changed later. `hostKey: null` takes the leave away. */
export interface TenantChange {
  readonly endpoint?: string | undefined
  readonly policy?: string | undefined
  readonly plan?: string | undefined
  readonly hostKey?: HostKey | null | undefined
}

export interface Rotation {
  /** For how long (ms) the key in use stays good. */
  readonly overlap: number
  readonly label?: string | undefined
  /** When the new key ends. */
  readonly expiresAt?: number | undefined
}

/** A tenant and his new key, which is not kept and cannot be shown again. */
export interface Keyed {
  readonly tenant: Tenant
  readonly key: string
}

export interface Page {
  readonly tenants: readonly Tenant[]
  /** Where the next page starts; absent on the last one. */
  readonly next?: string
}

/** Every method with a name throws NO_SUCH_TENANT when nobody has it; writes throw STORE_UNAVAILABLE or STORE_CONFLICT. */
export interface Registry {
  /** Throws TENANT_EXISTS, or TENANT_INVALID with what is wrong. */
  add(tenant: NewTenant): Promise<Keyed>
  /** With `lastUsedAt` of each key. */
  show(name: string): Promise<Tenant>
  /** By name, with `lastUsedAt` of each key. One page costs the same however many tenants there are. */
  list(after?: string, limit?: number): Promise<Page>
  change(name: string, change: TenantChange): Promise<Tenant>
  /** Gives a new key. Of the old ones the newest stays good for the overlap, the others end. */
  rotate(name: string, rotation: Rotation): Promise<Keyed>
  /** Ends one key, by its hash, at once. */
  revokeKey(name: string, hash: string): Promise<Tenant>
  /** Ends all client certificates issued so far. */
  revokeCertificates(name: string): Promise<Tenant>
  disable(name: string): Promise<Tenant>
  enable(name: string): Promise<Tenant>
  remove(name: string): Promise<void>
}

export interface RegistryParts {
  readonly store: Store
  readonly seal: Seal
  readonly now: () => number
  readonly onForged: OnForged
}

const PAGE = 100
/** Every lost race means that another process won one, so only a crowd can use these up. */
const ATTEMPTS = 100
const DEFAULT_LABEL = 'default'

const keyChanges = (before: readonly TenantKey[], after: Tenant | undefined): Change[] => {
  const kept = new Set(after?.keys.map(({ hash }) => hash))
  const known = new Set(before.map(({ hash }) => hash))
  const gone = before.filter(({ hash }) => !kept.has(hash))
  return [
    ...gone.flatMap(({ hash }) => [{ key: KEY + hash }, { key: USED + hash }]),
    ...[...kept]
      .filter((hash) => !known.has(hash))
      .map((hash) => ({ key: KEY + hash, value: after?.id })),
  ]
}

/** `tenant` with the host key given, or without one. */
const withHostKey = (
  { hostKey: _, ...tenant }: Tenant,
  hostKey: HostKey | null | undefined,
): Tenant => (hostKey ? { ...tenant, hostKey } : tenant)

export const createRegistry = ({ store, seal, now, onForged }: RegistryParts): Registry => {
  const records = createRecords(seal, onForged)

  const mint = (label = DEFAULT_LABEL, expiresAt?: number): { text: string; key: TenantKey } => {
    checkLabel(label)
    checkTime('the end of the key', expiresAt)
    const text = mintKey()
    const key = { hash: seal.hashKey(text), label, createdAt: now() }
    return { text, key: expiresAt === undefined ? key : { ...key, expiresAt } }
  }

  /** The tenant whom a record of `name/` points to, if his own record says that this is his name. */
  const follow = async (
    pointer: Entry,
  ): Promise<{ tenant: Tenant; revision: number } | undefined> => {
    const entry = await store.get(TENANT + pointer.value.toString())
    const tenant = records.read(entry)
    if (entry === undefined || tenant === undefined) return undefined
    return NAME + tenant.name === pointer.key ? { tenant, revision: entry.revision } : undefined
  }

  const find = async (name: string): Promise<{ tenant: Tenant; revision: number }> => {
    checkName(name)
    const pointer = await store.get(NAME + name)
    const found = pointer && (await follow(pointer))
    if (!found) throw new Failure('NO_SUCH_TENANT', `"${name}" (berth tenant list shows all)`)
    return found
  }

  /** Makes a change to what is there now, again and again until nobody else did in between. */
  const update = async (
    name: string,
    change: (tenant: Tenant) => Tenant | undefined,
  ): Promise<Tenant | undefined> => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const { tenant, revision } = await find(name)
      const changed = change(tenant)
      const own: Change[] = changed
        ? [records.write(changed, revision)]
        : [{ key: TENANT + tenant.id, expect: revision }, { key: NAME + name }]
      if (await store.commit([...own, ...keyChanges(tenant.keys, changed)])) return changed
    }
    throw new Failure('STORE_CONFLICT', `tenant "${name}"; try again`)
  }

  const edit = async (name: string, change: (tenant: Tenant) => Tenant): Promise<Tenant> => {
    const changed = await update(name, change)
    if (changed === undefined) throw new Failure('NO_SUCH_TENANT', `"${name}"`)
    return changed
  }

  const withUse = async (tenant: Tenant): Promise<Tenant> => {
    const keys = tenant.keys.map(async (key) => {
      const used = await store.get(USED + key.hash)
      return used ? { ...key, lastUsedAt: Number(used.value.toString()) } : key
    })
    return { ...tenant, keys: await Promise.all(keys) }
  }

  return {
    add: async ({ name, endpoint, policy, plan, hostKey, label, expiresAt }) => {
      checkNewName(name)
      checkEndpoint(endpoint)
      checkWord('policy', policy)
      checkWord('plan', plan)
      if (hostKey) checkHostKey(hostKey)
      const { text, key } = mint(label, expiresAt)
      const id = mintTenantId()
      const base = { id, name, endpoint, policy, plan, disabled: false, createdAt: now() }
      const tenant = withHostKey({ ...base, certificateEpoch: 1, keys: [key] }, hostKey)
      const pointer = await store.get(NAME + name)
      const isTaken = pointer !== undefined && (await follow(pointer)) !== undefined
      // a pointer to nobody was forged or is a leftover: it may be replaced
      const revision =
        !isTaken &&
        (await store.commit([
          { key: NAME + name, expect: pointer?.revision ?? ABSENT, value: id },
          records.write(tenant, ABSENT),
          ...keyChanges([], tenant),
        ]))
      if (!revision) throw new Failure('TENANT_EXISTS', `"${name}"; choose another one`)
      return { tenant, key: text }
    },

    show: async (name) => await withUse((await find(name)).tenant),

    list: async (after, limit = PAGE) => {
      const pointers: Entry[] = []
      for await (const pointer of store.range(
        NAME,
        after === undefined ? undefined : NAME + after,
      )) {
        if (pointers.push(pointer) === limit) break
      }
      const found = await Promise.all(pointers.map(follow))
      const tenants = found.flatMap((one) => (one ? [withUse(one.tenant)] : []))
      const last = pointers.length === limit ? pointers.at(-1) : undefined
      return {
        tenants: await Promise.all(tenants),
        ...(last && { next: last.key.slice(NAME.length) }),
      }
    },

    change: async (name, { endpoint, policy, plan, hostKey }) => {
      if (endpoint !== undefined) checkEndpoint(endpoint)
      if (policy !== undefined) checkWord('policy', policy)
      if (plan !== undefined) checkWord('plan', plan)
      if (hostKey) checkHostKey(hostKey)
      return await edit(name, (tenant) => {
        const changed = {
          ...tenant,
          endpoint: endpoint ?? tenant.endpoint,
          policy: policy ?? tenant.policy,
          plan: plan ?? tenant.plan,
        }
        return hostKey === undefined ? changed : withHostKey(changed, hostKey)
      })
    },

    rotate: async (name, { overlap, label, expiresAt }) => {
      const { text, key } = mint(label, expiresAt)
      const end = now() + overlap
      checkTime('the end of the overlap', end)
      const tenant = await edit(name, (tenant) => {
        const newest = tenant.keys.toSorted((a, b) => a.createdAt - b.createdAt).at(-1)
        if (newest === undefined || overlap <= 0) return { ...tenant, keys: [key] }
        const old = { ...newest, expiresAt: Math.min(newest.expiresAt ?? end, end) }
        return { ...tenant, keys: [old, key] }
      })
      return { tenant, key: text }
    },

    revokeKey: (name, hash) =>
      edit(name, (tenant) => ({
        ...tenant,
        keys: tenant.keys.filter((key) => key.hash !== hash),
      })),

    revokeCertificates: (name) =>
      edit(name, (tenant) => ({ ...tenant, certificateEpoch: tenant.certificateEpoch + 1 })),

    disable: (name) => edit(name, (tenant) => ({ ...tenant, disabled: true })),
    enable: (name) => edit(name, (tenant) => ({ ...tenant, disabled: false })),

    remove: async (name) => {
      await update(name, () => undefined)
    },
  }
}
