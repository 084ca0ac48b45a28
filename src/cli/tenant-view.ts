/** How a tenant is shown: as JSON to programs, as text to people. A key is only ever named by a part of its hash. */
import type { HostKey, Tenant, TenantKey } from '../tenant/tenant.ts'
import { printTime } from './duration.ts'

const ID_DIGITS = 12

/** By what a key is known to operators: the beginning of its keyed hash, which nobody can turn back into a key. */
export const keyIdOf = (hash: string): string =>
  Buffer.from(hash, 'base64url').toString('hex').slice(0, ID_DIGITS)

export interface KeyView {
  readonly id: string
  readonly label: string
  readonly standing: 'good' | 'expired'
  readonly createdAt: string
  readonly expiresAt?: string
  readonly lastUsedAt?: string
}

export interface TenantView {
  readonly id: string
  readonly name: string
  readonly endpoint: string
  readonly policy: string
  readonly plan: string
  readonly disabled: boolean
  readonly createdAt: string
  readonly hostKey?: { readonly cidrs?: readonly string[]; readonly expiresAt?: string }
  readonly keys: readonly KeyView[]
}

const isUsable = ({ expiresAt }: TenantKey, now: number): boolean =>
  expiresAt === undefined || expiresAt > now

/** The keys that still open the door. */
export const usableKeys = ({ keys }: Tenant, now: number): readonly TenantKey[] =>
  keys.filter((key) => isUsable(key, now))

const keyView = (key: TenantKey, now: number): KeyView => ({
  id: keyIdOf(key.hash),
  label: key.label,
  standing: isUsable(key, now) ? 'good' : 'expired',
  createdAt: printTime(key.createdAt),
  ...(key.expiresAt !== undefined && { expiresAt: printTime(key.expiresAt) }),
  ...(key.lastUsedAt !== undefined && { lastUsedAt: printTime(key.lastUsedAt) }),
})

const hostKeyView = ({ cidrs, expiresAt }: HostKey) => ({
  ...(cidrs !== undefined && { cidrs }),
  ...(expiresAt !== undefined && { expiresAt: printTime(expiresAt) }),
})

/** @param now ms since 1970 */
export const viewOf = (tenant: Tenant, now: number): TenantView => ({
  id: tenant.id,
  name: tenant.name,
  endpoint: tenant.endpoint,
  policy: tenant.policy,
  plan: tenant.plan,
  disabled: tenant.disabled,
  createdAt: printTime(tenant.createdAt),
  ...(tenant.hostKey !== undefined && { hostKey: hostKeyView(tenant.hostKey) }),
  keys: tenant.keys.map((key) => keyView(key, now)),
})

const describeHostKey = ({ hostKey }: TenantView): string => {
  if (hostKey === undefined) return 'not accepted in a host name'
  const from = hostKey.cidrs === undefined ? 'anywhere' : hostKey.cidrs.join(', ')
  const until = hostKey.expiresAt === undefined ? '' : ` until ${hostKey.expiresAt}`
  return `accepted in a host name from ${from}${until}`
}

const describeKey = ({
  id,
  label,
  standing,
  createdAt,
  expiresAt,
  lastUsedAt,
}: KeyView): string => {
  const facts = [`made ${createdAt}`]
  if (expiresAt !== undefined)
    facts.push(`${standing === 'expired' ? 'expired' : 'good until'} ${expiresAt}`)
  facts.push(lastUsedAt === undefined ? 'never used' : `last used ${lastUsedAt}`)
  return `${id}  ${label}: ${facts.join(', ')}`
}

/** The lines of `berth tenant show`. */
export const describeTenant = (view: TenantView): string[] => {
  const rows: readonly (readonly [string, string])[] = [
    ['name', view.name],
    ['id', view.id],
    ['state', view.disabled ? 'disabled' : 'enabled'],
    ['endpoint', view.endpoint],
    ['policy', view.policy],
    ['plan', view.plan],
    ['made', view.createdAt],
    ['key', describeHostKey(view)],
    ...view.keys.map((key) => ['', describeKey(key)] as const),
  ]
  return rows.map(([what, text]) => `${what.padEnd(10)}${text}`)
}

const COLUMNS = [
  ['NAME', 42],
  ['STATE', 10],
  ['KEYS', 6],
  ['POLICY', 12],
  ['PLAN', 12],
  ['ENDPOINT', 0],
] as const

const line = (cells: readonly string[]): string =>
  COLUMNS.map(([, width], i) => (cells[i] ?? '').padEnd(width))
    .join('')
    .trimEnd()

export const LIST_HEAD = line(COLUMNS.map(([name]) => name))

/** One line of `berth tenant list`; columns keep their width, because the rest is not known yet. */
export const listLine = ({ name, disabled, keys, policy, plan, endpoint }: TenantView): string => {
  const good = keys.filter(({ standing }) => standing === 'good').length
  return line([name, disabled ? 'disabled' : 'enabled', String(good), policy, plan, endpoint])
}
