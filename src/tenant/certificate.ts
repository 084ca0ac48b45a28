/** Reads what a client certificate of berth's own says: whose it is, and whether it may say so. */

import { X509Certificate } from 'node:crypto'
import { isTenantId } from './key.ts'

/** Whom a certificate speaks for. */
export interface CertifiedTenant {
  readonly tenantId: string
  /** Compared with the tenant's `certificateEpoch`: a smaller one is revoked. */
  readonly epoch: number
  readonly serial: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/** Where a certificate says whose it is: in URIs, which nobody shows to humans, and not in its common name. */
export const TENANT_URI = 'berth:tenant:'
export const EPOCH_URI = 'berth:epoch:'

/** id-kp-clientAuth (RFC 5280, 4.2.1.12) */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

const EPOCH = /^[1-9]\d{0,9}$/

/** The part behind `prefix` of the only name that starts with it. */
const only = (names: readonly string[], prefix: string): string | undefined => {
  const found = names.filter((name) => name.startsWith(prefix))
  return found.length === 1 ? found[0]?.slice(prefix.length) : undefined
}

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)

const endOf = ({ validTo }: X509Certificate): number => Date.parse(validTo)

const isValidAt = (certificate: X509Certificate, now: number): boolean =>
  Date.parse(certificate.validFrom) <= now && now < endOf(certificate)

const parse = (der: Uint8Array): X509Certificate | undefined => {
  try {
    return new X509Certificate(der)
  } catch {
    return undefined
  }
}

/** A certificate that `authority` (PEM) has issued for clients and that is valid now. Never trusts that someone else has verified it. */
const issuedForClients = (
  der: Uint8Array,
  authority: string,
  now: number,
): X509Certificate | undefined => {
  const certificate = parse(der)
  if (certificate === undefined || certificate.ca) return undefined
  if (!isIssuedBy(certificate, new X509Certificate(authority))) return undefined
  return isValidAt(certificate, now) ? certificate : undefined
}

/**
 * The tenant of a client certificate (DER, as `getPeerCertificate().raw`), if it was issued for clients by
 * `authority` (PEM, berth's own CA for clients) and is valid now.
 */
export const tenantOfCertificate = (
  der: Uint8Array,
  authority: string,
  now: number,
): CertifiedTenant | undefined => {
  const certificate = issuedForClients(der, authority, now)
  if (certificate?.keyUsage?.join() !== CLIENT_AUTH) return undefined
  const names = certificate.subjectAltName?.split(', ') ?? []
  const tenantId = only(names, `URI:${TENANT_URI}`)
  const epoch = only(names, `URI:${EPOCH_URI}`)
  if (tenantId === undefined || !isTenantId(tenantId)) return undefined
  if (epoch === undefined || !EPOCH.test(epoch)) return undefined
  return {
    tenantId,
    epoch: Number(epoch),
    serial: certificate.serialNumber.toLowerCase(),
    expiresAt: endOf(certificate),
  }
}

/** An authority of the operator's choice, and the only tenants that its certificates may speak for, by name. */
export interface GivenAuthority {
  /** PEM */
  readonly certificate: string
  readonly tenants: readonly string[]
}

/** Whom a certificate of a given authority speaks for, and until when. */
export interface NamedTenant {
  readonly name: string
  readonly expiresAt: number
}

const COMMON_NAME = /^CN=(.+)$/m

/**
 * The name of the tenant of a certificate that a given authority has issued for clients: its common name, if the
 * authority may speak for a tenant of that name; the only one, where there is only one.
 */
export const nameOfCertificate = (
  der: Uint8Array,
  { certificate: authority, tenants }: GivenAuthority,
  now: number,
): NamedTenant | undefined => {
  const certificate = issuedForClients(der, authority, now)
  if (!certificate?.keyUsage?.includes(CLIENT_AUTH)) return undefined
  const name = tenants.length === 1 ? tenants[0] : COMMON_NAME.exec(certificate.subject)?.[1]
  if (name === undefined || !tenants.includes(name)) return undefined
  return { name, expiresAt: endOf(certificate) }
}
