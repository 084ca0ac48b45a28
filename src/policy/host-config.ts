/** HostConfig: where a container touches the machine it runs on, key by key. */

import { isList, type Json, text } from './json.ts'
import { atMost, between, sysctl, tmpfsOptions, ulimit } from './limits.ts'
import { logConfig, logDriver } from './logs.ts'
import { BINDS, MOUNTS } from './mounts.ts'
import { DOCKER_CAPABILITIES } from './policy.ts'
import { exposedBy, fewPorts, portBindings } from './ports.ts'
import { RESOURCES } from './resources.ts'
import {
  BOOL,
  everywhere,
  type Force,
  harmless,
  INT,
  type Judge,
  listOf,
  mapOf,
  reachesHost,
  STRING,
  STRING_MAP,
  STRINGS,
  struct,
  type Table,
} from './table.ts'
import {
  containerIn,
  keysIn,
  matches,
  namespace,
  networkIn,
  networkMode,
  oneOf,
  refuse,
  send,
} from './values.ts'
import {
  capability,
  capabilityOf,
  forcedSecurityOptions,
  group,
  securityOption,
  withoutDefaults,
} from './walls.ts'

const withinMemory: Judge = (value, { policy }) => send(atMost(value, policy.terms.memory))

const listed = (value: Json | undefined): readonly Json[] => (isList(value) ? value : [])

/** Where only some capabilities are kept: those of docker's own set that are among them, and what was asked for. */
const capabilitiesKept: Force = (sent, { policy }, sibling) => {
  const only = policy.onlyCapabilities
  if (only === undefined) return sent
  const gone = new Set(listed(sibling('CapDrop')).map(capabilityOf))
  const basic = gone.has('ALL') ? [] : DOCKER_CAPABILITIES.filter((name) => !gone.has(name))
  const wanted = listed(sent).map(capabilityOf)
  return only.filter((name) => basic.includes(name) || wanted.includes(name))
}

const capabilitiesDropped: Force = (sent, { policy }) =>
  policy.onlyCapabilities === undefined ? sent : ['ALL']

const securityOptions: Force = (sent, { policy }) => {
  const forced = forcedSecurityOptions(policy)
  const asked = withoutDefaults(listed(sent).map(text), policy)
  if (forced.length === 0) return asked.length === listed(sent).length ? sent : asked
  return [...asked.filter((option) => !forced.includes(option)), ...forced]
}

const runtime: Judge = (value, { policy }) =>
  policy.runtimes.includes(text(value)) || text(value) === policy.terms.runtime
    ? send(value)
    : refuse('any program of the host could be named as a runtime', 'Leave out --runtime.')

const cgroupParent: Judge = (value, { policy }) =>
  text(value) === policy.terms.cgroupParent
    ? send(value)
    : refuse("it leaves the tenant's own cgroup and its limits")

const isSysctlMap: Judge = keysIn(sysctl, 'the sysctls that a container has for itself')

const ALIAS = /^[^:]+(?::[A-Za-z0-9][A-Za-z0-9_.-]*)?$/
const link: Judge = (value) =>
  ALIAS.test(text(value)) ? send(value) : refuse('its alias is no name', 'Leave out --link.')

const containerOf = (value: Json) =>
  listed(value).map(
    (item) => ({ kind: 'container', name: text(item).split(':')[0] ?? '' }) as const,
  )

const publishAll: Judge = (value, { policy }) =>
  policy.ports === undefined
    ? send(value)
    : refuse(`the engine would pick ports outside ${policy.ports}`, 'Use -p instead of -P.')

const NO_NETWORK = 'none'
const network: Force = (sent, { policy }) => (policy.networking ? sent : NO_NETWORK)

/** Where nothing is said engines with cgroups v1 would give the host's, as all do to clients before API 1.41. */
const ownCgroups: Force = (sent) => (text(sent) === '' ? 'private' : sent)

const isSize = (name: string): boolean => matches('size', name.toLowerCase())

/** HostConfig of a create body. */
export const HOST_CONFIG = struct({
  Binds: BINDS,
  ContainerIDFile: {
    shape: STRING,
    verdicts: everywhere('drop'),
    why: "it is the client's own",
  },
  LogConfig: {
    shape: struct(harmless({ Type: STRING, Config: STRING_MAP })),
    verdicts: reachesHost('confine'),
    judge: logDriver,
    force: logConfig,
    why: 'logs are kept small, in files of the engine',
    cure: 'Leave out --log-driver.',
  },
  NetworkMode: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: networkMode,
    force: network,
    names: networkIn,
    why: 'only networks of containers can be joined',
    cure: 'Leave out --network host (compose: network_mode: host) and publish ports with -p.',
  },
  PortBindings: {
    shape: mapOf(listOf(struct(harmless({ HostIp: STRING, HostPort: STRING })))),
    verdicts: reachesHost('confine'),
    each: portBindings,
    judge: fewPorts,
    why: 'only some ports may be published',
  },
  AutoRemove: { shape: BOOL, verdicts: everywhere('allow') },
  VolumeDriver: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: oneOf('local'),
    why: 'it runs a plugin on the host',
    cure: 'Leave out --volume-driver.',
  },
  VolumesFrom: {
    shape: STRINGS,
    verdicts: reachesHost('confine'),
    names: containerOf,
    why: 'it takes over what another container may have',
    cure: 'Leave out --volumes-from.',
  },
  ConsoleSize: { shape: listOf(INT), verdicts: everywhere('allow') },
  Annotations: {
    shape: STRING_MAP,
    verdicts: reachesHost('deny'),
    why: 'runtimes take orders from annotations',
    cure: 'Leave out --annotation; labels (-l) are for notes.',
  },
  CapAdd: {
    shape: STRINGS,
    verdicts: reachesHost('confine'),
    each: capability,
    force: capabilitiesKept,
    why: 'some capabilities are power over the host',
    cure: 'Leave out --cap-add (compose: cap_add).',
  },
  CapDrop: { shape: STRINGS, verdicts: reachesHost('confine'), force: capabilitiesDropped },
  CgroupnsMode: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: oneOf('private'),
    force: ownCgroups,
    why: "it shows the host's cgroups",
    cure: 'Leave out --cgroupns host.',
  },
  ...harmless({ Dns: STRINGS, DnsOptions: STRINGS, DnsSearch: STRINGS, ExtraHosts: STRINGS }),
  GroupAdd: { shape: STRINGS, verdicts: reachesHost('confine'), each: group },
  IpcMode: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: namespace('none', 'private', 'shareable'),
    names: containerIn,
    why: "it shares the host's memory segments",
    cure: 'Leave out --ipc host (compose: ipc: host).',
  },
  Cgroup: {
    shape: STRING,
    verdicts: reachesHost('deny'),
    why: "it joins another container's cgroup",
    cure: 'Leave it out.',
  },
  Links: {
    shape: STRINGS,
    verdicts: { dedicated: 'confine', shared: 'deny', open: 'allow' },
    each: link,
    names: containerOf,
    why: 'it takes names that belong to others',
    cure: 'Leave out --link: containers of one network find each other by name.',
  },
  OomScoreAdj: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    judge: between(0n, 1000n),
    why: 'below 0 others, and the engine, would be killed in its place',
  },
  PidMode: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: namespace(),
    names: containerIn,
    why: "it shows the host's processes, and their files",
    cure: 'Leave out --pid host (compose: pid: host).',
  },
  Privileged: {
    shape: BOOL,
    verdicts: reachesHost('deny'),
    why: 'it hands over every device and capability of the host',
    cure: 'Leave out --privileged (compose: privileged: true); buildx has a builder that needs none: docker buildx use default.',
  },
  PublishAllPorts: {
    shape: BOOL,
    verdicts: reachesHost('confine'),
    judge: publishAll,
    names: exposedBy,
    why: 'each port is a process of the host',
  },
  ReadonlyRootfs: { shape: BOOL, verdicts: everywhere('allow') },
  SecurityOpt: {
    shape: STRINGS,
    verdicts: reachesHost('confine'),
    each: securityOption,
    force: securityOptions,
    why: 'it loosens the walls of the container',
    cure: 'Leave out --security-opt (compose: security_opt).',
  },
  StorageOpt: {
    shape: STRING_MAP,
    verdicts: reachesHost('confine'),
    judge: keysIn(isSize, 'the options of the storage driver that may be set'),
    why: 'it goes to the storage driver of the host',
    cure: 'Leave out --storage-opt.',
  },
  Tmpfs: {
    shape: STRING_MAP,
    verdicts: reachesHost('clamp'),
    each: tmpfsOptions,
    why: 'it is memory',
    cure: 'Leave out the option of --tmpfs.',
  },
  UTSMode: {
    shape: STRING,
    verdicts: reachesHost('deny'),
    why: "it shares the host's name",
    cure: 'Leave out --uts host.',
  },
  UsernsMode: {
    shape: STRING,
    verdicts: reachesHost('deny'),
    why: "it makes the container's root the host's",
    cure: 'Leave out --userns host.',
  },
  ShmSize: { shape: INT, verdicts: reachesHost('clamp'), judge: withinMemory, why: 'it is memory' },
  Sysctls: {
    shape: STRING_MAP,
    verdicts: reachesHost('confine'),
    judge: isSysctlMap,
    why: "it sets the kernel's own settings",
    cure: 'Leave out --sysctl.',
  },
  Runtime: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: runtime,
    force: (sent, { policy }) => policy.terms.runtime ?? sent,
    why: 'it names a program of the host',
    cure: 'Leave out --runtime.',
  },
  Isolation: { shape: STRING, verdicts: everywhere('allow') },
  ...RESOURCES,
  CgroupParent: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: cgroupParent,
    force: (sent, { policy }) => policy.terms.cgroupParent ?? sent,
    why: "it leaves the tenant's own cgroup and its limits",
    cure: 'Leave out --cgroup-parent.',
  },
  Devices: {
    shape: listOf(
      struct(harmless({ PathOnHost: STRING, PathInContainer: STRING, CgroupPermissions: STRING })),
    ),
    verdicts: reachesHost('deny'),
    why: 'it hands over a device of the host',
    cure: 'Leave out --device (compose: devices).',
  },
  DeviceCgroupRules: {
    shape: STRINGS,
    verdicts: reachesHost('deny'),
    why: 'it opens devices of the host, disks among them',
    cure: 'Leave out --device-cgroup-rule.',
  },
  DeviceRequests: {
    shape: listOf(
      struct(
        harmless({
          Driver: STRING,
          Count: INT,
          DeviceIDs: STRINGS,
          Capabilities: listOf(STRINGS),
          Options: STRING_MAP,
        }),
      ),
    ),
    verdicts: reachesHost('deny'),
    why: 'it hands over devices of the host',
    cure: 'Leave out --gpus.',
  },
  Ulimits: {
    shape: listOf(struct(harmless({ Name: STRING, Soft: INT, Hard: INT }))),
    verdicts: reachesHost('confine'),
    each: ulimit,
    why: 'some limits protect the engine',
  },
  CpuCount: { shape: INT, verdicts: everywhere('drop'), why: 'it is for Windows' },
  CpuPercent: { shape: INT, verdicts: everywhere('drop'), why: 'it is for Windows' },
  IOMaximumIOps: { shape: INT, verdicts: everywhere('drop'), why: 'it is for Windows' },
  IOMaximumBandwidth: { shape: INT, verdicts: everywhere('drop'), why: 'it is for Windows' },
  Mounts: MOUNTS,
  MaskedPaths: {
    shape: STRINGS,
    verdicts: reachesHost('deny'),
    // To the engine an empty list says "mask nothing", and only null "as usual".
    isZero: (value) => value === null,
    why: "it uncovers the kernel's own files",
    cure: 'Leave out --security-opt systempaths=unconfined.',
  },
  ReadonlyPaths: {
    shape: STRINGS,
    verdicts: reachesHost('deny'),
    isZero: (value) => value === null,
    why: "it makes the kernel's own files writable",
    cure: 'Leave out --security-opt systempaths=unconfined.',
  },
  Init: { shape: BOOL, verdicts: everywhere('allow') },
} satisfies Table)
