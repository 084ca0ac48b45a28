/** Create bodies that mean harm, and what to look for in the container that came of one. */
import fc from 'fast-check'
import { objectOf, oneOf, onTheWire, STRANGERS, someOf, spelling } from './hostile.ts'

const MODE = oneOf('', 'host', 'HOST', 'private', 'container:x', null)
const NUMBER = fc.constantFrom(
  '0',
  '-1',
  '9000000',
  '99999999999',
  '9007199254740993',
  '9223372036854775807',
  'null',
)

const MOUNT = objectOf({
  Type: oneOf('bind', 'volume', 'tmpfs', 'image', '', 'npipe', 'BIND'),
  Source: oneOf('/', '/etc', '/tmp', 'vol', '..', '', 'busybox'),
  Target: oneOf('/t', '/u'),
  ReadOnly: oneOf(true, false, null),
  BindOptions: oneOf({ Propagation: 'rshared', CreateMountpoint: true }, null),
  VolumeOptions: objectOf({
    DriverConfig: objectOf({
      Name: oneOf('', 'local', 'nfs'),
      Options: oneOf({}, { type: 'none', o: 'bind', device: '/' }, { device: '/' }),
    }),
    Labels: oneOf({}, { 'berth.tenant': 'x' }),
    Subpath: oneOf('', '..', '/etc', 'a'),
  }),
  TmpfsOptions: oneOf(null, { SizeBytes: 1e12 }, { Mode: 511 }),
})

/** The keys of HostConfig that carry power, each with what it must not say and what it may. */
const HOST_MEMBERS = {
  Privileged: oneOf(true, false, null),
  CapAdd: someOf('SYS_ADMIN', 'CAP_CHOWN', 'all', 'kill', '\u017fys_admin', 'NET_ADMIN'),
  Capabilities: someOf('CAP_SYS_ADMIN'),
  PidMode: MODE,
  IpcMode: MODE,
  UTSMode: MODE,
  UsernsMode: MODE,
  CgroupnsMode: MODE,
  NetworkMode: oneOf('', 'none', 'host', 'HOST', 'default', 'bridge', 'container:x'),
  CgroupParent: oneOf('', '/', '../x', 'x'),
  Cgroup: oneOf('', 'container:x'),
  SecurityOpt: someOf(
    'no-new-privileges',
    'seccomp=unconfined',
    'seccomp={}',
    'apparmor:unconfined',
    'label=disable',
    'no-new-privileges=false',
    'writable-cgroups',
  ),
  Binds: someOf(
    '/:/h',
    'vol:/x',
    '/var/run/docker.sock:/s',
    '../x:/y',
    'C:\\x:/w',
    '/home/u:/z:rshared',
    '/tmp/../etc:/e',
    'vol:/v:rw,nocopy',
  ),
  Mounts: fc.array(MOUNT, { maxLength: 2 }).map((all) => `[${all.join(',')}]`),
  Devices: oneOf([], null, [
    { PathOnHost: '/dev/null', PathInContainer: '/dev/x', CgroupPermissions: 'rwm' },
  ]),
  DeviceCgroupRules: someOf('b *:* rwm'),
  DeviceRequests: oneOf([], [{ Count: -1, Capabilities: [['gpu']] }], [{ Driver: 'cdi' }]),
  Sysctls: oneOf(
    {},
    { 'net.ipv4.ip_forward': '1' },
    { 'kernel.core_pattern': 'x' },
    {
      'net/../kernel/core_pattern': 'x',
    },
  ),
  Annotations: oneOf({}, { a: 'b' }),
  Runtime: oneOf('', 'runc', 'io.containerd.runc.v2', 'evil'),
  Memory: NUMBER,
  MemorySwap: NUMBER,
  MemoryReservation: NUMBER,
  KernelMemory: NUMBER,
  NanoCpus: NUMBER,
  CpuQuota: NUMBER,
  CpuPeriod: NUMBER,
  PidsLimit: NUMBER,
  ShmSize: NUMBER,
  CpuRealtimeRuntime: NUMBER,
  OomKillDisable: oneOf(true, false, null),
  OomScoreAdj: oneOf(-1000, 0, 500),
  BlkioDeviceReadBps: oneOf([], [{ Path: '/dev/null', Rate: 1 }]),
  BlkioWeightDevice: oneOf([], [{ Path: '/dev/null', Weight: 10 }]),
  MaskedPaths: oneOf(null, [], ['/x']),
  ReadonlyPaths: oneOf(null, [], ['/x']),
  LogConfig: objectOf({
    Type: oneOf('', 'json-file', 'local', 'syslog', 'journald'),
    Config: oneOf(
      null,
      {},
      { 'max-size': '100g' },
      { 'syslog-address': 'unix:///x' },
      { 'max-file': '9' },
    ),
  }),
  VolumeDriver: oneOf('', 'local', 'nfs'),
  VolumesFrom: someOf('x', 'donor', 'donor:rw'),
  Tmpfs: oneOf({}, { '/q': 'size=100g' }, { '/q': 'mpol=bind:0' }),
  Ulimits: oneOf(
    [],
    [{ Name: 'nofile', Soft: 1, Hard: 1 }],
    [{ Name: 'rtprio', Soft: 9, Hard: 9 }],
  ),
  // not `size`, on which engines panic where the disk has no quotas
  StorageOpt: oneOf({}, { 'dm.x': '1' }),
  GroupAdd: someOf('0', 'disk'),
  PortBindings: oneOf({}, { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '22' }] }),
  ContainerIDFile: oneOf('', '/etc/x'),
  ConsoleSize: oneOf([0, 0]),
} as const

const HOST_CONFIG = objectOf(HOST_MEMBERS)

const ENDPOINTS = objectOf({
  EndpointsConfig: fc.constantFrom(
    'null',
    '{}',
    '{"host":{}}',
    '{"bridge":{"NetworkID":"HOSTNET"}}',
    '{"HOSTNET":{}}',
    '{"bridge":{"DriverOpts":{"com.docker.network.endpoint.sysctls":"net.x=1"}}}',
    '{"bridge":{"MacAddress":"02:42:ac:11:00:02"}}',
    '{"bridge":{}}',
  ),
})

const LABELS = oneOf(
  {},
  null,
  { a: 'b' },
  { 'berth.tenant': 'other' },
  { 'Traefik.enable': 'true', 'berth.http': 'x:1' },
)

/** Top-level members that any body may have. */
const PLAIN = {
  Cmd: oneOf(['true'], null, 'true'),
  User: oneOf('', '0', 'root'),
  Labels: LABELS,
  Env: someOf('A=1', 'B=\u2028'),
  StopTimeout: oneOf(1, -1, null),
  Healthcheck: oneOf(null, { Test: ['CMD', 'true'], Interval: 1_000_000 }),
  Volumes: oneOf(null, {}, { '/anon': {} }),
  MacAddress: oneOf('', '02:42:ac:11:00:09'),
  NetworkingConfig: ENDPOINTS,
} as const

const member = (name: string, value: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(spelling(name), value).map((pair) => pair.join(':'))
const rarely = (member: fc.Arbitrary<string>, weight: number): fc.Arbitrary<string> =>
  fc.oneof({ weight, arbitrary: fc.constant('') }, member)

/** `HOSTNET` stands for the id of the engine's host network. */
const TEXT = fc
  .tuple(
    member('HostConfig', HOST_CONFIG),
    objectOf(PLAIN, 3).map((object) => object.slice(1, -1)),
    // what 20.10 to 26 take from the top level
    rarely(
      objectOf(HOST_MEMBERS, 3).map((object) => object.slice(1, -1)),
      3,
    ),
    rarely(member('HostConfig', fc.oneof(HOST_CONFIG, fc.constantFrom('null', '{}'))), 8),
    rarely(STRANGERS, 6),
    fc.oneof(
      { weight: 30, arbitrary: fc.constant('"Image":"busybox"') },
      fc.constantFrom('', '"image":"busybox"', '"Image":null'),
    ),
  )
  .chain((members) => fc.shuffledSubarray(members, { minLength: members.length }))
  .map((members) => `{${members.filter((text) => text !== '').join(',')}}`)

export const HOSTILE_CREATE: fc.Arbitrary<Buffer> = onTheWire(TEXT)

// === what nobody may have got ===

/** As the engine describes a container. */
export interface Inspected {
  readonly Config: { readonly Labels: object | null; readonly Image: string }
  readonly HostConfig: Readonly<Record<string, unknown>>
  readonly Mounts: readonly {
    readonly Type: string
    readonly Name?: string
    readonly Source: string
  }[]
  readonly NetworkSettings: { readonly Networks: object }
}

const list = (value: unknown): readonly string[] => (value ?? []) as string[]
const keys = (value: unknown): readonly string[] => Object.keys((value ?? {}) as object)
const some = (value: unknown): boolean => list(value).length > 0
const number = (value: unknown): number => Number(value ?? 0)
const isWithin = (value: unknown, most: number): boolean =>
  number(value) > 0 && number(value) <= most

const CAPABILITIES =
  /^(?:CAP_)?(?:AUDIT_WRITE|CHOWN|DAC_OVERRIDE|FOWNER|FSETID|KILL|MKNOD|NET_BIND_SERVICE|NET_RAW|SETFCAP|SETGID|SETPCAP|SETUID|SYS_CHROOT)$/i

/** The plan of the tests: 64 MB, one processor, 50 processes. */
export const PLAN_YAML = 'plans: { default: { memory: 64m, cpus: 1, pids: 50 } }'
const MEMORY = 64 << 20

type Check = (host: Inspected['HostConfig'], container: Inspected, usual: Inspected) => boolean

/** Every row of HostConfig and its neighbours that `dedicated` denies or clamps. */
const ESCAPES: Readonly<Record<string, Check>> = {
  Privileged: (host) => host.Privileged === true,
  CapAdd: (host) => list(host.CapAdd).some((name) => !CAPABILITIES.test(name)),
  Capabilities: (host) => some(host.Capabilities),
  'namespaces of the host': (host) =>
    ['PidMode', 'IpcMode', 'UTSMode', 'UsernsMode', 'NetworkMode'].some(
      (key) => host[key] === 'host',
    ),
  'cgroups of the host': (host) => host.CgroupnsMode === 'host',
  'the network of the host': (_, { NetworkSettings }) => 'host' in NetworkSettings.Networks,
  CgroupParent: (host) => host.CgroupParent !== '' || host.Cgroup !== '',
  SecurityOpt: (host) => list(host.SecurityOpt).some((option) => option !== 'no-new-privileges'),
  Binds: (host) => list(host.Binds).some((bind) => !/^vol:/.test(bind)),
  Mounts: (host, { Mounts }) =>
    Mounts.some(({ Type }) => !['volume', 'tmpfs', 'image'].includes(Type)) ||
    ((host.Mounts ?? []) as { Type: string; VolumeOptions?: { DriverConfig?: object } }[]).some(
      ({ Type, VolumeOptions }) =>
        Type === 'bind' ||
        keys((VolumeOptions?.DriverConfig as { Options?: object })?.Options).length > 0,
    ),
  Devices: (host) =>
    some(host.Devices) || some(host.DeviceCgroupRules) || some(host.DeviceRequests),
  Sysctls: (host) => keys(host.Sysctls).some((name) => !/^net\.[a-z0-9_.]+$/.test(name)),
  Annotations: (host) => some(keys(host.Annotations)),
  Runtime: (host) => host.Runtime !== 'runc',
  Memory: (host) => !isWithin(host.Memory, MEMORY) || host.MemorySwap !== host.Memory,
  KernelMemory: (host) => number(host.KernelMemory) !== 0,
  ShmSize: (host) => number(host.ShmSize) > MEMORY,
  NanoCpus: (host) => !isWithin(host.NanoCpus, 1e9) || number(host.CpuQuota) !== 0,
  PidsLimit: (host) => !isWithin(host.PidsLimit, 50),
  'real time': (host) => number(host.CpuRealtimeRuntime) !== 0,
  OomKillDisable: (host) => host.OomKillDisable === true,
  OomScoreAdj: (host) => number(host.OomScoreAdj) < 0,
  'block devices': (host) =>
    ['BlkioDeviceReadBps', 'BlkioWeightDevice'].some((key) => some(host[key])),
  'masked paths': (host, _, { HostConfig }) =>
    ['MaskedPaths', 'ReadonlyPaths'].some(
      (key) => JSON.stringify(host[key]) !== JSON.stringify(HostConfig[key]),
    ),
  LogConfig: ({ LogConfig }) => {
    const { Type, Config } = LogConfig as { Type: string; Config: Record<string, string> }
    return (
      !['json-file', 'local'].includes(Type) ||
      Config['max-size'] !== '10m' ||
      number(Config['max-file']) > 3
    )
  },
  VolumeDriver: (host) => !['', 'local'].includes(String(host.VolumeDriver ?? '')),
  VolumesFrom: (host) => list(host.VolumesFrom).some((from) => from.startsWith('donor')),
  Tmpfs: (host) => JSON.stringify(host.Tmpfs ?? {}).match(/100g|mpol/) !== null,
  Ulimits: (host) => JSON.stringify(host.Ulimits ?? []).includes('rtprio'),
  labels: (_, { Config }) =>
    keys(Config.Labels).some((name) => /^(berth|traefik)\./i.test(name) && name !== 'berth.http'),
}

/** @param usual a container that asked for nothing */
export const escapesOf = (container: Inspected, usual: Inspected): readonly string[] =>
  Object.entries(ESCAPES).flatMap(([name, has]) =>
    has(container.HostConfig, container, usual) ? [name] : [],
  )
