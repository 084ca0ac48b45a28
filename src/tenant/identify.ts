/** Who is asking: the only place where an identity is read from a connection and its requests. */
import { Failure } from '../errors.ts'
import type { Connection, Exchange } from '../exchange.ts'
import type { RequestField } from '../wire/fields.ts'
import {
  type CertifiedTenant,
  type GivenAuthority,
  type NamedTenant,
  nameOfCertificate,
  tenantOfCertificate,
} from './certificate.ts'
import { isKeyShaped } from './key.ts'
import type { Roster } from './roster.ts'
import { type Credential, standing, type Tenant } from './tenant.ts'
import type { Throttle } from './throttle.ts'

/** What identifies: a connection, and a request on it. */
type Asked = Pick<Exchange, 'connection' | 'head'>

/** What every stage after this one needs to know of a tenant. */
export interface Identity {
  readonly tenant: Tenant
  readonly credential: Credential
}

export interface IdentifyOptions {
  readonly roster: Roster
  readonly throttle: Throttle
  /** PEM of the authority that issues certificates to tenants; without one certificates identify nobody. */
  readonly clientAuthority: string | undefined
  /** Further ones, each bound to the tenants that it may speak for. */
  readonly givenAuthorities: readonly GivenAuthority[]
  readonly now: () => number
}

/** Who a connection has turned out to be, and by which texts. */
interface Known {
  readonly tenant: Tenant
  /** The credential texts of the request that was looked at; the next one with the same needs no second look. */
  readonly texts: readonly string[]
  isGood: boolean
  /** The credentials whose end ends the connection: of a tenant's, so there are few. */
  readonly followed: Set<string>
}

/** The key comes from a header, or from the host name. */
interface KeyClaim {
  readonly kind: 'key' | 'host key'
  readonly key: string
}

/** A claim to be somebody: a key as sent, or a certificate that was verified. */
type Claim =
  | KeyClaim
  | { readonly kind: 'certificate'; readonly certified: CertifiedTenant }
  | { readonly kind: 'given certificate'; readonly named: NamedTenant }

/** Certificates of a given authority are not counted here: they end with their tenant, their time, or their authority. */
const NEVER_REVOKED = Number.POSITIVE_INFINITY

const BEARER = /^Bearer +([^ ]+)$/i

const CURES = {
  missing:
    'send a key (DOCKER_CUSTOM_HEADERS="X-Berth-Key=...") or connect with a certificate; `berth context NAME` sets up either. ' +
    'Builds (/grpc, /session) carry no headers: they need TLS with a certificate or a key in the host name',
  unknown: 'this key is not known; a new one is made by `berth tenant rotate NAME`',
  expired: 'this key has expired; a new one is made by `berth tenant rotate NAME`',
  revoked: 'this key or certificate has been revoked',
  certificate:
    'this client certificate was not issued for a tenant of this berth, or is no longer valid',
  disagree: 'the credentials of this request belong to different tenants; send one',
  changed: 'this connection belongs to another tenant; open a new one',
  hostKey:
    'this tenant may not put his key into a host name, where DNS and error messages show it, or not from here; ' +
    'use a header or a certificate, or allow it with `berth tenant add --host-key`',
  many: 'too many unknown keys came from this address; wait a second',
} as const

const refuse = (why: keyof typeof CURES): Failure => new Failure('UNAUTHENTICATED', CURES[why])

const firstLabel = (host: string): string => {
  const dot = host.indexOf('.')
  return dot === -1 ? host : host.slice(0, dot)
}

const keyIn = (field: RequestField): string | undefined => {
  if (field.name === 'host') return firstLabel(field.value)
  if (field.name === 'x-berth-key') return field.value
  if (field.name === 'authorization') return BEARER.exec(field.value)?.[1]
  return undefined
}

/** The key in one field, if its text claims to be one. Basic credentials and anything else are none. */
const claimIn = (field: RequestField): string | undefined => {
  const key = keyIn(field)
  return key !== undefined && isKeyShaped(key) ? key : undefined
}

const isClaim = (field: RequestField): boolean => claimIn(field) !== undefined

/** What this request says of who sent it, each a key or a text that claims to be one. */
const claimsOf = (fields: readonly RequestField[]): KeyClaim[] =>
  fields.flatMap((field) => {
    const key = claimIn(field)
    return key === undefined ? [] : [{ kind: field.name === 'host' ? 'host key' : 'key', key }]
  })

/** True where a request says nothing of who sent it, or exactly what the one did that was looked at. */
const saysNothingElse = (fields: readonly RequestField[], texts: readonly string[]): boolean => {
  let count = 0
  for (const field of fields) {
    const key = claimIn(field)
    if (key !== undefined && key !== texts[count++]) return false
  }
  return count === 0 || count === texts.length
}

const nameOf = (credential: Credential): string =>
  `${credential.kind} ${credential.kind === 'certificate' ? credential.epoch : credential.hash}`

/** The strongest comes first: a key in the host name beside it only says where to, and needs to be good but no leave. */
const beside = (credential: Credential): Credential =>
  credential.kind === 'host key' ? { kind: 'key', hash: credential.hash } : credential

/**
 * Identifies tenants by certificate, by a key in Authorization or X-Berth-Key, and by a key as the first label of
 * Host or SNI. All that are given must be good and of one tenant; a connection keeps the identity of its first request.
 */
export const createIdentify = (options: IdentifyOptions) => {
  const { roster, throttle, clientAuthority, givenAuthorities, now } = options
  const known = new WeakMap<Connection, Known>()

  const byCertificate = (connection: Connection): Claim | undefined => {
    const { certificate } = connection
    if (certificate === undefined) return undefined
    const certified =
      clientAuthority === undefined || !certificate.isTrusted
        ? undefined
        : tenantOfCertificate(certificate.der, clientAuthority, now())
    if (certified !== undefined) return { kind: 'certificate', certified }
    if (certificate.isTrusted)
      for (const authority of givenAuthorities) {
        const named = nameOfCertificate(certificate.der, authority, now())
        if (named !== undefined) return { kind: 'given certificate', named }
      }
    throw refuse('certificate')
  }

  const ownerOf = async (
    key: string,
    connection: Connection,
  ): Promise<{ tenant: Tenant; hash: string }> => {
    const hash = roster.hashOf(key)
    const mayLook = roster.expects(hash) || throttle.admits(connection.remoteAddress, now())
    if (!mayLook) throw refuse('many')
    const tenant = roster.known(hash) ?? (await roster.byKey(hash))
    if (tenant !== undefined) return { tenant, hash }
    throw refuse('unknown')
  }

  const resolve = async (claim: Claim, connection: Connection): Promise<Identity> => {
    if (claim.kind === 'certificate') {
      const { tenantId, epoch, expiresAt } = claim.certified
      const tenant = await roster.byId(tenantId)
      if (tenant === undefined) throw refuse('certificate')
      return { tenant, credential: { kind: 'certificate', epoch, expiresAt } }
    }
    if (claim.kind === 'given certificate') {
      const { name, expiresAt } = claim.named
      const tenant = await roster.byName(name)
      if (tenant === undefined) throw refuse('certificate')
      return { tenant, credential: { kind: 'certificate', epoch: NEVER_REVOKED, expiresAt } }
    }
    const { tenant, hash } = await ownerOf(claim.key, connection)
    if (claim.kind === 'key') return { tenant, credential: { kind: 'key', hash } }
    return {
      tenant,
      credential: { kind: 'host key', hash, address: connection.remoteAddress ?? '' },
    }
  }

  const check = (tenant: Tenant, credential: Credential): void => {
    const verdict = standing(tenant, credential, now())
    if (verdict === 'disabled')
      throw new Failure('TENANT_DISABLED', 'ask the operator of this berth')
    if (verdict === 'expired') throw refuse('expired')
    if (verdict !== 'good') throw refuse(credential.kind === 'host key' ? 'hostKey' : 'revoked')
  }

  const remember = (
    connection: Connection,
    tenant: Tenant,
    credentials: readonly Credential[],
    texts: readonly string[],
  ): void => {
    const followed = known.get(connection)?.followed ?? new Set()
    known.set(connection, { tenant, texts, isGood: true, followed })
    for (const credential of credentials) {
      const name = nameOf(credential)
      if (followed.has(name)) continue
      followed.add(name)
      connection.whenGone.push(
        roster.follow(tenant.id, credential, () => {
          const now = known.get(connection)
          if (now !== undefined) now.isGood = false
          connection.end()
        }),
      )
    }
  }

  const lookUp = async (
    exchange: Asked,
    claims: Claim[],
    texts: readonly string[],
  ): Promise<Tenant> => {
    const { connection } = exchange
    const identities: Identity[] = []
    for (const claim of claims) identities.push(await resolve(claim, connection))
    const [first, ...others] = identities
    if (first === undefined) throw refuse('missing')
    if (others.some(({ tenant }) => tenant.id !== first.tenant.id)) throw refuse('disagree')
    const before = known.get(connection)
    if (before !== undefined && before.tenant.id !== first.tenant.id) throw refuse('changed')
    const { tenant, credential } = first
    const credentials = [credential, ...others.map((other) => beside(other.credential))]
    for (const each of credentials) check(tenant, each)
    if (credential.kind !== 'certificate') roster.used(credential.hash)
    remember(connection, tenant, credentials, texts)
    return tenant
  }

  /** @throws Failure UNAUTHENTICATED, TENANT_DISABLED or STORE_UNAVAILABLE */
  return (exchange: Asked): Tenant | Promise<Tenant> => {
    const { connection, head } = exchange
    const before = known.get(connection)
    if (before?.isGood && saysNothingElse(head.fields, before.texts))
      return roster.newest(before.tenant)
    const requested = claimsOf(head.fields)
    const texts = requested.map(({ key }) => key)
    const claims: Claim[] = []
    const certified = byCertificate(connection)
    if (certified !== undefined) claims.push(certified)
    claims.push(
      ...requested.filter(({ kind }) => kind === 'key'),
      ...requested.filter(({ kind }) => kind === 'host key'),
    )
    const { serverName } = connection
    if (serverName !== undefined && isKeyShaped(firstLabel(serverName)))
      claims.push({ kind: 'host key', key: firstLabel(serverName) })
    return lookUp(exchange, claims, texts)
  }
}

/** True when a request carries what claims to be a key: an anonymous listener must then not take it for nobody's. */
export const claimsIdentity = (exchange: Asked): boolean =>
  exchange.connection.certificate !== undefined || exchange.head.fields.some(isClaim)
