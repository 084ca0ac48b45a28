/** berth's own certificate authorities: one for clients, one for listeners, one for engines, which trust each other not. */

import { randomBytes, webcrypto } from 'node:crypto'
import { join } from 'node:path'
import type * as X509 from '@peculiar/x509'
import ipaddr from 'ipaddr.js'
import { Failure } from '../errors.ts'
import { EPOCH_URI, TENANT_URI } from './certificate.ts'
import { createSecretFile, readSecretFile } from './secret-file.ts'
import type { Tenant } from './tenant.ts'

type Key = webcrypto.CryptoKey
type Usage = 'client' | 'server'

/** Extended key usages (RFC 5280, 4.2.1.12): id-kp-clientAuth, id-kp-serverAuth. */
const USAGES = {
  client: '1.3.6.1.5.5.7.3.2',
  server: '1.3.6.1.5.5.7.3.1',
} as const satisfies Record<Usage, string>

/**
 * Each is a root of its own. Whoever verifies clients trusts `clients` only, and so on: what one of them issued is
 * worth nothing in the place of another, not even to software that does not look at extended key usages.
 */
const PURPOSES = {
  /** Tenants, who show theirs to berth's listeners. */
  clients: ['client'],
  /** berth's listeners; users put this one into their docker contexts as ca.pem. */
  listeners: ['server'],
  /** Engines in VMs, and berth where it dials them. */
  engines: ['server', 'client'],
} as const satisfies Record<string, readonly Usage[]>

export type Purpose = keyof typeof PURPOSES

/** A certificate with its private key, all PEM. */
export interface Issued {
  readonly certificate: string
  /** PKCS #8 */
  readonly key: string
  /** Of the authority that issued it. */
  readonly ca: string
  /** Hexadecimal, lower case. */
  readonly serial: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

export interface Authority {
  /** The certificate of one of the authorities (PEM). */
  certificate(purpose: Purpose): string
  /** For a tenant, good for `lifetime` ms or until his certificates are revoked. */
  issueClient(
    tenant: Pick<Tenant, 'id' | 'name' | 'certificateEpoch'>,
    lifetime: number,
  ): Promise<Issued>
  /**
   * For a listener or an engine that is known by `names`: DNS names, which may start with "*.", and addresses. Good for
   * `lifetime` ms, or until the authority ends where that is sooner.
   */
  issueServer(
    purpose: 'listeners' | 'engines',
    names: readonly string[],
    lifetime: number,
  ): Promise<Issued>
  /** For berth itself, to show to engines. */
  issueDialler(lifetime: number): Promise<Issued>
}

interface Issuer {
  readonly certificate: X509.X509Certificate
  readonly key: Key
}

interface Subject {
  readonly commonName: string
  readonly usage: Usage
  readonly names: readonly X509.JsonGeneralName[]
  readonly lifetime: number
}

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' } as const
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const
const CA_LIFETIME = 10 * 365 * 86_400_000
/** Clocks of clients and guests are off; a certificate is valid since a little before it was made. */
const CLOCK_SKEW = 5 * 60_000

const DNS_NAME =
  /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i

let library: Promise<typeof X509> | undefined

/** Loaded when first needed: 20 MB and half a second that a berth without certificates of its own does without. */
const loadX509 = (): Promise<typeof X509> => {
  library ??= (async () => {
    await import('reflect-metadata') // which @peculiar/x509 needs before it is loaded
    const x509 = await import('@peculiar/x509')
    x509.cryptoProvider.set(webcrypto)
    return x509
  })()
  return library
}

const unusable = (what: string, cause?: unknown): Failure =>
  new Failure('AUTHORITY_UNUSABLE', what, cause)

const generateKeys = () => webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify'])

const pemOfKey = async (key: Key): Promise<string> =>
  `${(await loadX509()).PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`

/** Positive and never seen before (RFC 5280, 4.1.2.2). */
const mintSerial = (): string => {
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  return serial.toString('hex')
}

const nameOf = (commonName: string) => [{ CN: [commonName] }]

const serverName = (name: string): X509.JsonGeneralName => {
  if (ipaddr.isValid(name)) return { type: 'ip', value: name }
  if (DNS_NAME.test(name)) return { type: 'dns', value: name }
  throw unusable(`"${name}" is neither a DNS name nor an address`)
}

// === the authorities themselves ===

/** A new root as PEM, key and certificate in one file, so that they cannot come apart. */
const makeRoot = async (purpose: Purpose, now: number): Promise<string> => {
  const x509 = await loadX509()
  const keys = await generateKeys()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: mintSerial(),
    name: nameOf(`berth ${purpose} ${randomBytes(4).toString('hex')}`),
    notBefore: new Date(now - CLOCK_SKEW),
    notAfter: new Date(now + CA_LIFETIME),
    signingAlgorithm: SIGNATURE,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      new x509.ExtendedKeyUsageExtension(PURPOSES[purpose].map((usage) => USAGES[usage])),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return `${await pemOfKey(keys.privateKey)}${certificate.toString('pem')}\n`
}

const readRoot = async (path: string, pem: string): Promise<Issuer> => {
  const x509 = await loadX509()
  try {
    const [key, certificate] = x509.PemConverter.decode(pem)
    if (key === undefined || certificate === undefined) throw new Error('it is not complete')
    return {
      key: await webcrypto.subtle.importKey('pkcs8', key, CURVE, false, ['sign']),
      certificate: new x509.X509Certificate(certificate),
    }
  } catch (error) {
    throw unusable(`${path}: ${error instanceof Error ? error.message : error}`, error)
  }
}

const issue = async (
  issuer: Issuer,
  { commonName, usage, names, lifetime }: Subject,
  now: number,
): Promise<Issued> => {
  const x509 = await loadX509()
  const keys = await generateKeys()
  const serial = mintSerial()
  // whole seconds are all that a certificate can say
  const expiresAt = Math.floor((now + lifetime) / 1000) * 1000
  if (expiresAt > issuer.certificate.notAfter.getTime()) {
    throw unusable('its own certificate would end before what it should issue')
  }
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: nameOf(commonName),
    issuer: issuer.certificate.subject,
    notBefore: new Date(now - CLOCK_SKEW),
    notAfter: new Date(expiresAt),
    signingAlgorithm: SIGNATURE,
    signingKey: issuer.key,
    publicKey: keys.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([USAGES[usage]]),
      new x509.SubjectAlternativeNameExtension([...names]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: await pemOfKey(keys.privateKey),
    ca: `${issuer.certificate.toString('pem')}\n`,
    serial,
    expiresAt,
  }
}

const fileOf = (directory: string, purpose: Purpose): string => join(directory, `${purpose}-ca.pem`)

/** Makes whatever of the authorities is missing in `directory`; each is a file of mode 0600. */
export const initAuthority = async (directory: string, now: number): Promise<void> => {
  for (const purpose of Object.keys(PURPOSES) as Purpose[]) {
    const path = fileOf(directory, purpose)
    if (readSecretFile(path) === undefined) createSecretFile(path, await makeRoot(purpose, now))
  }
}

/** Reads the authorities in `directory`. Throws AUTHORITY_UNUSABLE when there are none. */
export const openAuthority = async (directory: string, now: () => number): Promise<Authority> => {
  const read = async (purpose: Purpose): Promise<Issuer> => {
    const path = fileOf(directory, purpose)
    const pem = readSecretFile(path)
    if (pem === undefined) throw unusable(`${path} does not exist: berth ca init makes it`)
    return await readRoot(path, pem)
  }
  const issuers: Readonly<Record<Purpose, Issuer>> = {
    clients: await read('clients'),
    listeners: await read('listeners'),
    engines: await read('engines'),
  }
  return {
    certificate: (purpose) => `${issuers[purpose].certificate.toString('pem')}\n`,
    issueClient: ({ id, name, certificateEpoch }, lifetime) =>
      issue(
        issuers.clients,
        {
          commonName: name,
          usage: 'client',
          names: [
            { type: 'url', value: TENANT_URI + id },
            { type: 'url', value: `${EPOCH_URI}${certificateEpoch}` },
          ],
          lifetime,
        },
        now(),
      ),
    issueServer: async (purpose, names, lifetime) => {
      const [commonName] = names
      if (commonName === undefined) throw unusable('a server needs a name or an address')
      const issuer = issuers[purpose]
      const at = now()
      const left = issuer.certificate.notAfter.getTime() - at
      if (left <= 0) throw unusable(`its certificate for ${purpose} has ended`)
      const subject = {
        commonName,
        usage: 'server',
        names: names.map(serverName),
        lifetime: Math.min(lifetime, left),
      } as const
      return await issue(issuer, subject, at)
    },
    issueDialler: (lifetime) =>
      issue(
        issuers.engines,
        {
          commonName: 'berth',
          usage: 'client',
          names: [{ type: 'url', value: 'berth:dialler' }],
          lifetime,
        },
        now(),
      ),
  }
}
