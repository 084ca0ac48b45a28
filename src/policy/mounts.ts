/** HostConfig.Binds and HostConfig.Mounts: volumes and tmpfs; a path of the host is never mounted. */
import { type Bind, confine, isPath, parseBind } from './binds.ts'
import type { Hearing, Reference } from './hearing.ts'
import { isMap, type Json, text } from './json.ts'
import { isOwnLabel } from './labels.ts'
import { atMost } from './limits.ts'
import {
  BOOL,
  everywhere,
  harmless,
  INT,
  type Judge,
  listOf,
  type Outcome,
  type Row,
  reachesHost,
  STRING,
  STRING_MAP,
  STRINGS,
  struct,
  type Table,
} from './table.ts'
import { refuse, send } from './values.ts'

const VOLUME_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/
const BIND_MODES = new Set([
  '',
  'ro',
  'rw',
  'z',
  'Z',
  'nocopy',
  'consistent',
  'cached',
  'delegated',
])
const PROPAGATION = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'])

/** One element of Binds: a volume by name stays, a path leaves as a mount. */
const bind: Judge = (value, hearing) => {
  const parts = parseBind(text(value))
  if (parts === undefined) return refuse('it is no SOURCE:TARGET[:MODE]')
  const mode = parts.modes.find((one) => !BIND_MODES.has(one) && !PROPAGATION.has(one))
  if (mode !== undefined) return refuse(`${mode} is no mode of a mount here`)
  if (parts.source === '' || VOLUME_NAME.test(parts.source)) return namedBind(parts, value)
  if (!isPath(parts.source))
    return refuse(`${parts.source} is neither a path nor the name of a volume`)
  return confine(parts.source, parts.target, parts.modes.includes('ro'), hearing)
}

const namedBind = (parts: Bind, value: Json): Outcome =>
  parts.modes.some((mode) => PROPAGATION.has(mode))
    ? refuse('a volume by name has no propagation', 'Leave out the mode.')
    : send(value)

/** What is left of Binds; what became a mount moves over to Mounts. */
const remainingBinds = (sent: Json | undefined, { mounts }: Hearing): Json | undefined => {
  if (!Array.isArray(sent)) return sent
  mounts.push(...sent.filter(isMap))
  return sent.filter((item) => !isMap(item))
}

export const volumesInBinds = (value: Json): readonly Reference[] =>
  (Array.isArray(value) ? value : []).flatMap((item: Json) => {
    const source = parseBind(text(item))?.source ?? ''
    return VOLUME_NAME.test(source) ? [{ kind: 'volume' as const, name: source }] : []
  })

/** What the Source of a mount may look like, by its type. */
const SOURCES: ReadonlyMap<string, RegExp> = new Map([
  ['volume', /^(?:[A-Za-z0-9][A-Za-z0-9_.-]*)?$/],
  ['image', /^[A-Za-z0-9]/],
  ['tmpfs', /^$/],
])

/** One element of Mounts. */
const mount: Judge = (value, hearing) => {
  if (!isMap(value)) return send(value)
  const type = text(value.get('Type'))
  const source = text(value.get('Source'))
  if (type === 'bind') {
    return confine(source, text(value.get('Target')), value.get('ReadOnly') === true, hearing)
  }
  const isSource = SOURCES.get(type)
  if (isSource === undefined)
    return refuse('a mount can only be of type volume, tmpfs or image here')
  return isSource.test(source) ? send(value) : refuse(`its Source is not the name of a ${type}`)
}

const allMounts = (sent: Json | undefined, { mounts }: Hearing): Json | undefined =>
  mounts.length === 0 ? sent : [...(Array.isArray(sent) ? sent : []), ...mounts]

const namesInMounts = (value: Json): readonly Reference[] =>
  (Array.isArray(value) ? value : []).flatMap((item: Json) => {
    const source = isMap(item) ? text(item.get('Source')) : ''
    const type = isMap(item) ? item.get('Type') : ''
    return source !== '' && (type === 'volume' || type === 'image')
      ? [{ kind: type, name: source } as const]
      : []
  })

const tmpfsSize: Judge = (value, { policy }) => send(atMost(value, policy.terms.memory))

const volumeLabels: Judge = (value, hearing) =>
  send(new Map([...(isMap(value) ? value : [])].filter(([name]) => isOwnLabel(name, hearing))))

const MOUNT = struct({
  ...harmless({
    Type: STRING,
    Source: STRING,
    Target: STRING,
    ReadOnly: BOOL,
    Consistency: STRING,
  }),
  BindOptions: {
    shape: struct(
      harmless({
        Propagation: STRING,
        NonRecursive: BOOL,
        CreateMountpoint: BOOL,
        ReadOnlyNonRecursive: BOOL,
        ReadOnlyForceRecursive: BOOL,
      }),
    ),
    verdicts: reachesHost('drop'),
    why: 'what is mounted here is never a path of the host',
  },
  VolumeOptions: {
    shape: struct({
      ...harmless({ NoCopy: BOOL, Subpath: STRING }),
      Labels: { shape: STRING_MAP, verdicts: everywhere('confine'), judge: volumeLabels },
      DriverConfig: {
        shape: struct(harmless({ Name: STRING, Options: STRING_MAP })),
        verdicts: reachesHost('deny'),
        isZero: (value) =>
          isMap(value) &&
          ['', 'local'].includes(text(value.get('Name'))) &&
          !hasMembers(value.get('Options')),
        why: "a driver's options mount what they like: directories, devices and shares of the host",
        cure: 'Leave out volume-driver and volume-opt of --mount.',
      },
    }),
    verdicts: everywhere('allow'),
  },
  ImageOptions: { shape: struct(harmless({ Subpath: STRING })), verdicts: everywhere('allow') },
  TmpfsOptions: {
    shape: struct({
      SizeBytes: {
        shape: INT,
        verdicts: reachesHost('clamp'),
        judge: tmpfsSize,
        why: 'it is memory',
      },
      ...harmless({ Mode: INT, Options: listOf(STRINGS) }),
    }),
    verdicts: everywhere('allow'),
  },
} satisfies Table)

const hasMembers = (value: Json | undefined): boolean => isMap(value) && value.size > 0

export const BINDS: Row = {
  shape: STRINGS,
  verdicts: reachesHost('confine'),
  each: bind,
  force: remainingBinds,
  names: volumesInBinds,
  why: "paths of the engine's host cannot be mounted",
  cure: 'Use a named volume: -v NAME:/path.',
}

export const MOUNTS: Row = {
  shape: listOf(MOUNT),
  verdicts: reachesHost('confine'),
  each: mount,
  force: allMounts,
  names: namesInMounts,
  why: "paths of the engine's host cannot be mounted",
  cure: 'Use --mount type=volume,source=NAME,target=/path.',
}
