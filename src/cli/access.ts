/** What the docker of a tenant has to be told, by the way in which the tenant is recognised. */

/** A client certificate; a key as the first label of the host name; a key in a header of every request. */
export type Way = 'certificate' | 'host key' | 'header'

/** Where berth listens, as its users reach it. */
export interface Door {
  readonly kind: 'tcp' | 'tls'
  readonly host: string
  readonly port: number
}

/** Where the files of a docker context are; those that it has. */
export interface CredentialFiles {
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
}

export interface Access {
  /** The name or address that the client connects to. */
  readonly host: string
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
  /** What a context cannot hold, and what has to be in the environment beside it. */
  readonly beside: Readonly<Record<string, string>>
  /** For one shell, without a context: docker prefers it to any. */
  readonly env: Readonly<Record<string, string>>
  /** What the context is for, as docker shows it. */
  readonly url: string
  /** Arguments of docker that make the context, or give it other files. */
  readonly create: readonly string[]
  readonly update: readonly string[]
}

export interface AccessOptions {
  /** Of the context. */
  readonly name: string
  readonly door: Door
  readonly way: Way
  readonly key: string | undefined
  /** The folder of `files`. */
  readonly folder: string
  readonly files: CredentialFiles
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)

const NEEDS_QUOTES = /[",]/

/** Pairs of `--docker`, which docker reads as one line of CSV (RFC 4180). */
const csv = (pairs: readonly (readonly [string, string | undefined])[]): string =>
  pairs
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`)
    .map((field) => (NEEDS_QUOTES.test(field) ? `"${field.replaceAll('"', '""')}"` : field))
    .join(',')

export const accessOf = ({ name, door, way, key, folder, files }: AccessOptions): Access => {
  const host = way === 'host key' ? `${key}.${door.host}` : door.host
  const url = `tcp://${bracketed(host)}:${door.port}`
  const headers: Record<string, string> =
    way === 'header' && key !== undefined ? { 'X-Berth-Key': key } : {}
  const [header] = Object.entries(headers)
  const beside = {
    ...(header !== undefined && { DOCKER_CUSTOM_HEADERS: header.join('=') }),
    // building with bake, compose 2.40 hands on empty files for a certificate that is not there, and fails on them
    ...(way === 'host key' && door.kind === 'tls' && { COMPOSE_BAKE: 'false' }),
  }
  const endpoint = [
    '--docker',
    csv([
      ['host', url],
      ['ca', files.ca],
      ['cert', files.certificate],
      ['key', files.key],
    ]),
  ]
  return {
    host,
    port: door.port,
    headers,
    beside,
    env: {
      DOCKER_HOST: url,
      ...(door.kind === 'tls' && { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: folder }),
      ...beside,
    },
    url,
    create: ['context', 'create', name, ...endpoint],
    update: ['context', 'update', name, ...endpoint],
  }
}

const PLAIN_WORD = /^[\w@%+=:,./[\]-]+$/

/** A word that a shell reads as itself. */
export const shellWord = (word: string): string =>
  PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
