/** What a tenant is, which words may describe one, and whether a credential still speaks for him. */

import ipaddr from 'ipaddr.js'
import { Failure } from '../errors.ts'
import { isKeyShaped } from './key.ts'

/** A key as it is kept. All times are milliseconds since 1970. */
export interface TenantKey {
  /** Keyed hash of the key, which itself is known to its owner only. */
  readonly hash: string
  readonly label: string
  readonly createdAt: number
  readonly expiresAt?: number
  /** To the minute. Filled in where tenants are shown, absent where they are looked up. */
  readonly lastUsedAt?: number
}

/** Leave to put a key into a host name, where DNS, SNI and error messages show it. */
export interface HostKey {
  /** Where from; from anywhere when absent. */
  readonly cidrs?: readonly string[]
  readonly expiresAt?: number
}

export interface Tenant {
  /** Never changes and is never used again. */
  readonly id: string
  /** A DNS label, because names of services are made from it. */
  readonly name: string
  readonly endpoint: string
  readonly policy: string
  readonly plan: string
  readonly disabled: boolean
  readonly createdAt: number
  /** Client certificates that carry a smaller number are revoked. */
  readonly certificateEpoch: number
  readonly hostKey?: HostKey
  readonly keys: readonly TenantKey[]
}

/** What a tenant was recognised by; it has to stay good for as long as the connection lives. */
export type Credential =
  | { readonly kind: 'key'; readonly hash: string }
  | { readonly kind: 'host key'; readonly hash: string; readonly address: string }
  | { readonly kind: 'certificate'; readonly epoch: number; readonly expiresAt: number }

export type Standing = 'good' | 'disabled' | 'expired' | 'revoked'

const isOver = (expiresAt: number | undefined, now: number): boolean =>
  expiresAt !== undefined && expiresAt <= now

/** Whether `address` (of any family, or v4 in v6) is in one of `cidrs`. */
const isWithin = (address: string, cidrs: readonly string[]): boolean => {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  return cidrs.some((cidr) => {
    const [network, bits] = ipaddr.parseCIDR(cidr)
    return network.kind() === parsed.kind() && parsed.match(network, bits)
  })
}

const keyStanding = (tenant: Tenant, hash: string, now: number): Standing => {
  const key = tenant.keys.find((key) => key.hash === hash)
  if (key === undefined) return 'revoked'
  return isOver(key.expiresAt, now) ? 'expired' : 'good'
}

/** What `credential` is worth by the tenant's present record; `undefined` is a tenant who was removed. */
export const standing = (
  tenant: Tenant | undefined,
  credential: Credential,
  now: number,
): Standing => {
  if (tenant === undefined) return 'revoked'
  if (tenant.disabled) return 'disabled'
  switch (credential.kind) {
    case 'key':
      return keyStanding(tenant, credential.hash, now)
    case 'host key': {
      const { hostKey } = tenant
      if (hostKey === undefined) return 'revoked'
      if (hostKey.cidrs && !isWithin(credential.address, hostKey.cidrs)) return 'revoked'
      if (isOver(hostKey.expiresAt, now)) return 'expired'
      return keyStanding(tenant, credential.hash, now)
    }
    case 'certificate':
      if (credential.epoch < tenant.certificateEpoch) return 'revoked'
      return isOver(credential.expiresAt, now) ? 'expired' : 'good'
  }
}

/** The next time at which something of the tenant's expires, if anything will. */
export const nextExpiry = ({ keys, hostKey }: Tenant, now: number): number | undefined => {
  const times = [...keys, ...(hostKey ? [hostKey] : [])]
    .map(({ expiresAt }) => expiresAt)
    .filter((at): at is number => at !== undefined && at > now)
  return times.length === 0 ? undefined : Math.min(...times)
}

// === what may be said of a tenant ===

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/
const WORD = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const LABEL = /^[\x20-\x7e]{1,64}$/

const refuse = (what: string): Failure => new Failure('TENANT_INVALID', what)

/** Throws TENANT_INVALID unless `name` is a DNS label of up to 40 characters that cannot be taken for a key. */
export const checkName = (name: string): void => {
  if (!NAME.test(name)) {
    throw refuse(
      `the name ${JSON.stringify(name)} must be 1 to 40 of a-z, 0-9 and "-", and neither start nor end with "-"`,
    )
  }
  if (isKeyShaped(name)) throw refuse(`the name "${name}" looks like a key`)
}

/** The context that every docker has: it leads to the machine's own engine, and no other may have its name. */
const DOCKERS_OWN = 'default'

/** As `checkName`, and throws it for a name that no docker context of the tenant's could have. */
export const checkNewName = (name: string): void => {
  checkName(name)
  if (name === DOCKERS_OWN)
    throw refuse(
      `the name "${name}" is that of docker's own context, and a tenant's context is called as he is; choose another one`,
    )
}

/** Throws TENANT_INVALID unless `word` can be the name of an endpoint, a policy or a plan. */
export const checkWord = (what: 'endpoint' | 'policy' | 'plan', word: string): void => {
  if (!WORD.test(word)) {
    throw refuse(
      `the ${what} ${JSON.stringify(word)} must be 1 to 63 of letters, digits, ".", "_" and "-"`,
    )
  }
}

const ENGINE_URL = /^[a-z]+:\/\/[\x21-\x7e]{1,200}$/

/**
 * Throws TENANT_INVALID unless `endpoint` looks like an address or can be the name of one. Which addresses there are is
 * known to whoever dials them.
 */
export const checkEndpoint = (endpoint: string): void => {
  if (!ENGINE_URL.test(endpoint)) checkWord('endpoint', endpoint)
}

export const checkLabel = (label: string): void => {
  if (!LABEL.test(label)) {
    throw refuse(`the label ${JSON.stringify(label)} must be 1 to 64 printable characters`)
  }
}

export const checkHostKey = ({ cidrs = [], expiresAt }: HostKey): void => {
  for (const cidr of cidrs) {
    if (!ipaddr.isValidCIDR(cidr)) {
      throw refuse(`${JSON.stringify(cidr)} is no network such as 192.0.2.0/24 or 2001:db8::/32`)
    }
  }
  checkTime('the end of the host key', expiresAt)
}

/** ms since 1970 of the last second that everybody writes alike. */
const LAST_TIME = Date.parse('9999-12-31T23:59:59Z')

/** Throws TENANT_INVALID unless `time` is a point in time that can be shown. */
export const checkTime = (what: string, time: number | undefined): void => {
  if (time === undefined) return
  if (time > LAST_TIME) throw refuse(`${what} is after the year 9999; choose a shorter duration`)
  if (!(Number.isSafeInteger(time) && time > 0)) throw refuse(`${what} is no point in time`)
}
