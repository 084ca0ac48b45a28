/** What a redis:// URL says: which servers, how they stand together, and how to be let in. */

import { readFileSync } from 'node:fs'
import { Failure } from '../errors.ts'
import { decodePart } from './decode-part.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface RedisTarget {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  /** Of the server, the sentinels, or some nodes of the cluster. */
  readonly addresses: readonly [Address, ...Address[]]
  /** The name under which the sentinels know the master. */
  readonly master?: string
  readonly database: number
  readonly username?: string
  readonly password?: string
  readonly sentinelPassword?: string
  /** Present for rediss://. Without a `ca` the system's certificates are trusted. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  /** Tells several berths in one Redis apart; also the hash tag that keeps a berth's keys on one node of a cluster. */
  readonly prefix: string
}

const URL_PARTS =
  /^redis(?<tls>s?)(?:\+(?<kind>sentinel|cluster))?:\/\/(?:(?<username>[^:@/?]*)(?::(?<password>[^@/?]*))?@)?(?<hosts>[^/?@]*)(?:\/(?<path>[^?]*))?(?:\?(?<query>.*))?$/
const HOST = /^(?:\[(?<v6>[0-9a-f:.]+)\]|(?<name>[a-z0-9._-]+))(?::(?<port>\d{1,5}))?$/i
const PREFIX = /^[\w.-]{1,64}$/
const DATABASE = /^\d{1,4}$/

const DEFAULT_PORT = { single: 6379, sentinel: 26379, cluster: 6379 } as const

/** The parameters a URL may have: files, because a command line can be read by everyone on the machine. */
const PARAMETERS = [
  'password-file',
  'sentinel-password-file',
  'ca',
  'cert',
  'key',
  'prefix',
] as const
type Parameter = (typeof PARAMETERS)[number]

const refuse = (what: string, cause?: unknown): Failure => new Failure('STORE_URL', what, cause)

const parseAddress = (text: string, kind: RedisTarget['kind']): Address => {
  const groups = HOST.exec(text)?.groups
  const port = Number(groups?.port ?? DEFAULT_PORT[kind])
  if (groups === undefined || port < 1 || port > 65_535) {
    throw refuse(`"${text}" is not a host or host:port (an IPv6 address goes in brackets)`)
  }
  return { host: groups.v6 ?? groups.name ?? '', port }
}

const parseParameters = (query: string): Partial<Record<Parameter, string>> => {
  const found: Partial<Record<Parameter, string>> = {}
  for (const [name, value] of new URLSearchParams(query)) {
    const parameter = PARAMETERS.find((known) => known === name)
    if (parameter === undefined) {
      throw refuse(`"${name}" is not a parameter of it; there are ${PARAMETERS.join(', ')}`)
    }
    found[parameter] = value
  }
  return found
}

const readText = (parameter: Parameter, path: string | undefined): string | undefined => {
  if (path === undefined) return undefined
  try {
    return readFileSync(path, 'utf8').trimEnd()
  } catch (error) {
    throw refuse(`${parameter}: ${error instanceof Error ? error.message : error}`, error)
  }
}

/** What stands behind the hosts: a database number, or for sentinels the master's name and perhaps a database number. */
const parsePath = (
  kind: RedisTarget['kind'],
  path: string,
): Pick<RedisTarget, 'database' | 'master'> => {
  const words = path === '' ? [] : path.split('/')
  const master = kind === 'sentinel' ? words.shift() : undefined
  if (kind === 'sentinel' && !master) {
    throw refuse('sentinels need the name of the master: redis+sentinel://host1,host2/NAME')
  }
  if (kind === 'cluster' && words.length > 0) throw refuse('a cluster has no database numbers')
  const [database = '0', ...rest] = words
  if (!DATABASE.test(database) || rest.length > 0) {
    throw refuse(`"${path}" does not end in a database number`)
  }
  return {
    database: Number(database),
    ...(master && { master: decodePart('name of the master', master) }),
  }
}

/** Without the keys that have no value, which exactOptionalPropertyTypes would not let through. */
const present = <T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T

/**
 * Parses `redis[s]://[user[:password]@]host[:port][/database]`, `redis[s]+sentinel://host,host/MASTER[/database]` and
 * `redis[s]+cluster://host,host`, and reads the files that their parameters name.
 * Throws STORE_URL with what is wrong; no message contains a password.
 */
export const parseRedisUrl = (url: string): RedisTarget => {
  const groups = URL_PARTS.exec(url)?.groups
  if (groups === undefined) throw refuse('a store in Redis looks like redis://host:6379')
  const kind = (groups.kind ?? 'single') as RedisTarget['kind']
  const [first = '', ...others] = (groups.hosts ?? '').split(',')
  if (first === '') throw refuse('it names no host')
  if (kind === 'single' && others.length > 0) {
    throw refuse('several hosts are sentinels (redis+sentinel://) or a cluster (redis+cluster://)')
  }
  const parameters = parseParameters(groups.query ?? '')
  const { prefix = 'berth' } = parameters
  if (!PREFIX.test(prefix)) throw refuse('its prefix may have letters, digits, ".", "_" and "-"')
  const inUrl = groups.password && decodePart('password', groups.password)
  return {
    kind,
    addresses: [parseAddress(first, kind), ...others.map((text) => parseAddress(text, kind))],
    ...parsePath(kind, groups.path ?? ''),
    ...present<Pick<RedisTarget, 'username' | 'password' | 'sentinelPassword'>>({
      username: groups.username ? decodePart('user name', groups.username) : undefined,
      password: readText('password-file', parameters['password-file']) ?? (inUrl || undefined),
      sentinelPassword: readText('sentinel-password-file', parameters['sentinel-password-file']),
    }),
    ...(groups.tls && {
      tls: present<NonNullable<RedisTarget['tls']>>({
        ca: readText('ca', parameters.ca),
        cert: readText('cert', parameters.cert),
        key: readText('key', parameters.key),
      }),
    }),
    prefix,
  }
}
