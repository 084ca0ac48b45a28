/** Paths of a client's own machine, which become places in a volume of the tenant's: never paths of the engine's host. */
import type { Hearing } from './hearing.ts'
import type { Json } from './json.ts'
import type { Terms } from './policy.ts'
import type { Outcome } from './table.ts'
import { refuse } from './values.ts'
import { NEVER_PRUNED } from './volumes.ts'

/** Where the operator's shared mounts can be asked for, as paths. */
export const SHARED_ROOT = '/berth/'

/** Places where a client's own files never are: whoever names them means those of the host. */
const HOST_PLACES = [
  '/',
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/lib',
  '/lib64',
  '/proc',
  '/run',
  '/sbin',
  '/sys',
  '/usr',
  '/var',
  '/var/lib',
  '/var/lib/docker',
  '/var/log',
  '/var/run',
]
/** Those of them below which a client's files never are either. */
const HOST_TREES = [
  '/boot/',
  '/dev/',
  '/etc/',
  '/proc/',
  '/run/',
  '/sys/',
  '/var/lib/docker/',
  '/var/run/',
]

/** What compose files mount to give a container the time of its host. */
const TIME_ZONE: ReadonlySet<string> = new Set(['/etc/localtime', '/etc/timezone'])
const SET_TZ = 'Leave it out, and set the time zone: -e TZ=Europe/Berlin (compose: environment).'
/** Where compose puts a secret that it reads from a file: an empty directory there would be worse than none. */
const SECRETS = '/run/secrets/'
const PASS_SECRET =
  'Let the secret come from a variable (compose: secrets: NAME: environment: VARIABLE).'

const SOCKET = /(?:^|\/)(?:docker|containerd|podman|buildkitd)\.sock$/
const DRIVE = /^([A-Za-z]):[\\/]/
/** A bind that begins with a drive. */
const FROM_WINDOWS = /^([A-Za-z]:)(?:\\|\/[^:]*:\/)/
const CONTROL = /\p{Cc}/u
/** Of a component of a Linux path, in bytes. */
const MAX_COMPONENT = 255
const MAX_PATH = 1024
const TOO_LONG = 'it is too long a path'
/** The first API whose volumes have subpaths. */
const SUBPATHS = [1, 45] as const
/** The first API whose binds can leave out what is mounted below them. */
const NON_RECURSIVE = [1, 40] as const

/** One element of Binds, taken apart as the engine for Linux does, but for Windows drives. */
export interface Bind {
  readonly source: string
  readonly target: string
  readonly modes: readonly string[]
}

/**
 * A bind in its parts; undefined where it has none, or too many. `c:/a:/b` can only come from Windows, as a mode
 * has no slash; `c:/a:ro` is a volume named c.
 */
export const parseBind = (spec: string): Bind | undefined => {
  const drive = FROM_WINDOWS.exec(spec)?.[1] ?? ''
  const [rest = '', target, modes, ...more] = spec.slice(drive.length).split(':')
  if (more.length > 0) return undefined
  if (target === undefined)
    return drive === '' ? { source: '', target: rest, modes: [] } : undefined
  return { source: drive + rest, target, modes: modes === undefined ? [] : modes.split(',') }
}

/** Is it a path, rather than the name of a volume? */
export const isPath = (source: string): boolean =>
  source.startsWith('/') ||
  source.startsWith('.') ||
  source.startsWith('~') ||
  source.includes('\\') ||
  DRIVE.test(source)

/**
 * A mount that stands for a path of the client's.
 * @returns a member of HostConfig.Mounts, and notes what has to be made for it first
 */
export const confine = (
  source: string,
  target: string,
  readOnly: boolean,
  hearing: Hearing,
): Outcome => {
  const { terms, sharedMounts, binds } = hearing.policy
  if (source.length > MAX_PATH) return refuse(TOO_LONG, 'Use a named volume: -v NAME:/path.')
  const offered = sharedOf(source, sharedMounts)
  if (offered !== undefined) return offer(offered, target, terms.api)
  if (TIME_ZONE.has(trimmed(source)))
    return refuse("it is the time zone of the engine's host", SET_TZ)
  const why = forbidden(source)
  if (why !== undefined) return refuse(why, 'Use a named volume: -v NAME:/path.')
  if (target.startsWith(SECRETS)) return refuse('a file of yours is not there', PASS_SECRET)
  const place = placeOf(source)
  if (place === undefined) {
    return refuse(
      'it is no absolute path without ".."',
      'Give the path in full, or use a named volume.',
    )
  }
  if (terms.volume === undefined || binds === 'deny') {
    return refuse('paths of the host cannot be mounted here', 'Use a named volume: -v NAME:/path.')
  }
  hearing.findings.warnings.push(
    `${source} is not the directory of that name on your machine, but one that is kept here, and a single file becomes a directory: copy files with docker cp, or use configs with \`content\``,
  )
  const mount = ownMount(terms.volume, place, target, readOnly, hearing)
  return mount === undefined
    ? refuse(TOO_LONG, 'Use a named volume: -v NAME:/path.')
    : { send: mount }
}

const sharedOf = (
  source: string,
  offered: Readonly<Record<string, string>>,
): string | undefined => {
  const name = source.startsWith(SHARED_ROOT) ? source.slice(SHARED_ROOT.length) : ''
  if (Object.hasOwn(offered, name)) return offered[name]
  return Object.values(offered).find((path) => path === source)
}

const offer = (path: string, target: string, api: Terms['api']): Outcome =>
  api === undefined || isAtLeast(api, NON_RECURSIVE)
    ? { send: sharedMount(path, target) }
    : refuse(
        'before API 1.40 what is mounted below it would be writable',
        'Use a newer docker, or leave out -v.',
      )

/**
 * What is mounted below stays outside: it is read-only with it only from API 1.44 on, and there only where kernel and
 * runtime know how.
 */
const sharedMount = (path: string, target: string): Json =>
  new Map<string, Json>([
    ['Type', 'bind'],
    ['Source', path],
    ['Target', target],
    ['ReadOnly', true],
    [
      'BindOptions',
      new Map<string, Json>([
        ['Propagation', 'rprivate'],
        ['NonRecursive', true],
      ]),
    ],
  ])

/** Without the slashes at its end, by which a path stays the same. */
const trimmed = (path: string): string => {
  let end = path.length
  while (end > 1 && path[end - 1] === '/') end--
  return path.slice(0, end)
}

const forbidden = (source: string): string | undefined => {
  if (SOCKET.test(source)) {
    return "the engine's socket is the engine: whoever has it can do what no policy allows"
  }
  const path = trimmed(source)
  if (!HOST_PLACES.includes(path) && !HOST_TREES.some((tree) => path.startsWith(tree)))
    return undefined
  return "it is a place of the engine's host"
}

/** The components of a path below the tenant's volume; undefined where it could lead out of it. */
const placeOf = (source: string): readonly string[] | undefined => {
  const [drive, letter = ''] = DRIVE.exec(source) ?? []
  const windows = drive !== undefined || source.startsWith('\\\\')
  const path =
    drive === undefined ? source : `/${letter.toLowerCase()}/${source.slice(drive.length)}`
  const plain = windows ? path.replaceAll('\\', '/') : path
  if (!plain.startsWith('/') || CONTROL.test(plain)) return undefined
  const parts = plain.split('/').filter((part) => part !== '' && part !== '.')
  const isBad = (part: string): boolean =>
    part === '..' || part.includes('\\') || new TextEncoder().encode(part).length > MAX_COMPONENT
  return parts.length === 0 || parts.some(isBad) ? undefined : parts
}

const ownMount = (
  volume: string,
  place: readonly string[],
  target: string,
  readOnly: boolean,
  hearing: Hearing,
): Json | undefined => {
  const { terms } = hearing.policy
  const { preparations } = hearing.findings
  const subpath = place.join('/')
  const hasSubpaths = terms.api === undefined || isAtLeast(terms.api, SUBPATHS)
  const name = hasSubpaths ? volume : volumeNamed(volume, place)
  if (name.length > MAX_NAME) return undefined
  const labels = terms.labels ?? new Map()
  preparations.push({ kind: 'volume', name, labels, options: NEVER_PRUNED })
  if (hasSubpaths) preparations.push({ kind: 'subpath', volume, path: subpath })
  return new Map<string, Json>([
    ['Type', 'volume'],
    ['Source', name],
    ['Target', target],
    ...(readOnly ? ([['ReadOnly', true]] as const) : []),
    [
      'VolumeOptions',
      new Map<string, Json>([
        ['NoCopy', true],
        ...(hasSubpaths ? ([['Subpath', subpath]] as const) : []),
      ]),
    ],
  ])
}

const isAtLeast = (version: readonly [number, number], least: readonly [number, number]): boolean =>
  version[0] > least[0] || (version[0] === least[0] && version[1] >= least[1])

const UNNAMEABLE = /[^A-Za-z0-9-]/gu
/** The volume's name is also that of a directory. */
const MAX_NAME = 255

/** A name of its own for each path: what a name cannot hold is spelled in hexadecimal. */
const volumeNamed = (volume: string, place: readonly string[]): string => {
  const spelled = place
    .map((part) => part.replace(UNNAMEABLE, (mark) => `_${mark.codePointAt(0)?.toString(16)}_`))
    .join('.')
  return `${volume}.${spelled}`
}
