import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { judgeBody } from '../../src/policy/body.ts'
import { CREATE } from '../../src/policy/create.ts'
import { definePolicies, PROFILE_POLICIES } from '../../src/policy/effective.ts'
import { type Policy, type Terms, withTerms } from '../../src/policy/policy.ts'

const TERMS: Terms = {
  memory: 1n << 30n,
  nanoCpus: 2_000_000_000n,
  pids: 256n,
  volume: 'berth-files',
  labels: new Map([['berth.tenant', 'one']]),
}
const dedicated = withTerms(PROFILE_POLICIES.dedicated, TERMS)
const shared = withTerms(PROFILE_POLICIES.shared, TERMS)
const open = withTerms(PROFILE_POLICIES.open, { labels: TERMS.labels! })

const policyOf = (options: object, terms: Terms = TERMS): Policy =>
  withTerms(definePolicies({ mine: options }).mine!, terms)

const send = (policy: Policy, body: unknown) => {
  const judged = judgeBody(policy, CREATE, new TextEncoder().encode(JSON.stringify(body)))
  return { ...judged, json: JSON.parse(new TextDecoder().decode(judged.bytes)) }
}

/** A create that sets one key of HostConfig. */
const withHost = (policy: Policy, host: object) => send(policy, { Image: 'a', HostConfig: host })

const refusal = (policy: Policy, host: object): string => {
  try {
    return `passed as ${JSON.stringify(withHost(policy, host).json)}`
  } catch (error) {
    return error instanceof Failure ? `${error.code} ${error.message}` : String(error)
  }
}

const capture = (name: string): Record<string, unknown> =>
  JSON.parse(
    readFileSync(new URL(`../../fixtures/create/create-${name}.json`, import.meta.url), 'utf8'),
  )

const HARMLESS = [
  'cli-28.2.2-create-netcontainer',
  'cli-28.2.2-create-noopts',
  'cli-28.2.2-run-i-rm',
  'cli-28.2.2-run-it-rm',
  'cli-28.2.2-run-noopts',
  'cli-28.5.2-run-noopts',
  'compose-2.40.3-api',
  'compose-2.40.3-db',
  'compose-2.40.3-minimal-service',
  'compose-2.40.3-run-oneoff',
  'compose-2.40.3-web',
]

/** What those clients' bodies ask for that a fenced tenant cannot have: the first of it that is met. */
const FORBIDDEN = {
  'buildx-0.29.1-buildkit-container': /HostConfig\.Privileged = true.*--privileged/,
  'buildx-0.29.1-gpu-probe': /HostConfig\.DeviceRequests.*--gpus/,
  'cli-28.2.2-create-allopts': /HostConfig\.Annotations/,
  'cli-28.2.2-run-manyopts': /HostConfig\.CapAdd\[0\] = "CAP_NET_ADMIN".*--cap-add/,
  'compose-2.40.3-allopts': /HostConfig\.Binds\[0\].*docker\.sock.*engine/,
}

/** What berth settles itself, whatever is sent. */
const SETTLED = [
  'Binds',
  'LogConfig',
  'Memory',
  'MemorySwap',
  'NanoCpus',
  'PidsLimit',
  'Mounts',
  'CgroupParent',
  'CgroupnsMode',
]
const DROPPED = ['ContainerIDFile', 'CpuCount', 'CpuPercent', 'IOMaximumIOps', 'IOMaximumBandwidth']

test('what real clients send and mean no harm by passes as it is, but for what berth settles', async (t) => {
  for (const policy of [dedicated, shared]) {
    for (const name of HARMLESS) {
      const { HostConfig: host, NetworkingConfig: _, Labels: labels, ...top } = capture(name)
      const { json } = send(policy, capture(name))
      t.match(json, top, `${name}: the top level`)
      t.match(json.Labels, { ...(labels as object), 'berth.tenant': 'one' }, `${name}: labels`)
      const rest = Object.entries(host as object).filter(
        ([key]) => ![...SETTLED, ...DROPPED].includes(key),
      )
      t.match(json.HostConfig, Object.fromEntries(rest), `${name}: HostConfig`)
    }
  }
})

test('what real clients send and cannot have is refused by its name', async (t) => {
  for (const [name, says] of Object.entries(FORBIDDEN)) {
    t.throws(() => send(dedicated, capture(name)), { code: 'POLICY_DENIED', message: says }, name)
    t.doesNotThrow(() => send(open, capture(name)), `${name} in the open`)
  }
})

test('the open profile changes nothing but labels', async (t) => {
  for (const name of [...HARMLESS, ...Object.keys(FORBIDDEN)]) {
    const body = capture(name)
    const { json } = send(open, body)
    const labels = { ...(body.Labels as object), 'berth.tenant': 'one' }
    const { ContainerIDFile: _id, ...host } = body.HostConfig as Record<string, unknown>
    for (const key of DROPPED) delete host[key]
    t.strictSame({ ...json, Labels: labels }, { ...body, Labels: labels, HostConfig: host }, name)
  }
})

const WALLS: readonly (readonly [object, RegExp])[] = [
  [{ Privileged: true }, /--privileged/],
  [{ PidMode: 'host' }, /--pid host/],
  [{ IpcMode: 'host' }, /--ipc host/],
  [{ UTSMode: 'host' }, /--uts host/],
  [{ UsernsMode: 'host' }, /--userns host/],
  [{ CgroupnsMode: 'host' }, /--cgroupns host/],
  [{ NetworkMode: 'host' }, /--network host/],
  [{ CapAdd: ['SYS_ADMIN'] }, /SYS_ADMIN/],
  [{ CapAdd: ['cap_sys_admin'] }, /SYS_ADMIN/],
  [{ CapAdd: ['ALL'] }, /ALL/],
  [{ CapAdd: ['\u017fys_admin'] }, /no capability/],
  [{ Devices: [{ PathOnHost: '/dev/sda' }] }, /--device/],
  [{ DeviceCgroupRules: ['b *:* rwm'] }, /--device-cgroup-rule/],
  [{ DeviceRequests: [{ Driver: 'cdi' }] }, /--gpus/],
  [{ SecurityOpt: ['seccomp=unconfined'] }, /seccomp/],
  [{ SecurityOpt: ['seccomp:unconfined'] }, /seccomp/],
  [{ SecurityOpt: ['apparmor=unconfined'] }, /apparmor/],
  [{ SecurityOpt: ['label:disable'] }, /label/],
  [{ SecurityOpt: ['no-new-privileges=0'] }, /no-new-privileges/],
  [{ SecurityOpt: ['seccomp=builtin,x'] }, /seccomp/],
  [{ SecurityOpt: ['writable-cgroups'] }, /writable-cgroups/],
  [{ SecurityOpt: ['systempaths=unconfined'] }, /systempaths/],
  [{ MaskedPaths: [] }, /systempaths/],
  [{ ReadonlyPaths: [] }, /systempaths/],
  [{ CgroupParent: '/' }, /cgroup/],
  [{ Runtime: 'io.containerd.evil.v1' }, /--runtime/],
  [{ Sysctls: { 'kernel.core_pattern': '|/x' } }, /kernel\.core_pattern/],
  [{ Sysctls: { 'kernel.core_pattern': '' } }, /kernel\.core_pattern/],
  [{ Sysctls: { 'net.x/../../kernel/core_pattern': '' } }, /sysctls/],
  [{ Annotations: { 'run.oci.handler': '' } }, /--annotation/],
  [{ VolumeDriver: 'rclone' }, /--volume-driver/],
  [{ StorageOpt: { 'dm.basesize': '1' } }, /--storage-opt/],
  [{ OomKillDisable: true }, /--oom-kill-disable/],
  [{ CpuRealtimeRuntime: 1 }, /--cpu-rt-runtime/],
  [{ BlkioDeviceReadBps: [{ Path: '/dev/x', Rate: 1 }] }, /--device-read-bps/],
  [{ Ulimits: [{ Name: 'rtprio', Soft: 1, Hard: 1 }] }, /rtprio/],
  [{ Ulimits: [{ Name: 'RTPR\u0131O', Soft: 1, Hard: 1 }] }, /no limit/],
  [{ LogConfig: { Type: 'syslog', Config: { 'syslog-address': 'unix:///x' } } }, /--log-driver/],
  [{ Tmpfs: { '/t': 'size=1m,mpol=bind:0' } }, /--tmpfs/],
  [{ Cgroup: 'container:x' }, /Cgroup/],
  [{ Mounts: [{ Type: 'npipe', Source: 'x', Target: '/t' }] }, /volume, tmpfs or image/],
  [{ Mounts: [{ Type: 'cluster', Source: 'x', Target: '/t' }] }, /volume, tmpfs or image/],
  [{ Mounts: [{ Source: '/', Target: '/t' }] }, /volume, tmpfs or image/],
  [{ Mounts: [{ Type: 'volume', Source: '/etc', Target: '/t' }] }, /not the name of a volume/],
  [
    {
      Mounts: [
        {
          Type: 'volume',
          Target: '/t',
          VolumeOptions: {
            DriverConfig: { Name: 'local', Options: { type: 'none', o: 'bind', device: '/etc' } },
          },
        },
      ],
    },
    /Mounts\[0\]\.VolumeOptions\.DriverConfig.*volume-opt/,
  ],
  [
    {
      Mounts: [{ Type: 'volume', Target: '/t', VolumeOptions: { DriverConfig: { Name: 'nfs' } } }],
    },
    /DriverConfig/,
  ],
]

test('each way out of a container is refused, and the message says which option to leave out', async (t) => {
  for (const [host, says] of WALLS) {
    for (const policy of [dedicated, shared]) {
      const outcome = refusal(policy, host)
      t.match(outcome, /^POLICY_DENIED/, `${policy.name}: ${JSON.stringify(host)}`)
      t.match(outcome, says)
      t.match(outcome, `(policy '${policy.name}')`)
    }
    t.match(refusal(open, host), /^passed/, `open: ${JSON.stringify(host)}`)
  }
})

test('strip leaves out what deny refuses, and nothing of it is left', async (t) => {
  const strip = { ...dedicated, onViolation: 'strip' as const }
  for (const [host] of WALLS) {
    const { json, warnings } = withHost(strip, host)
    const [key = ''] = Object.keys(host)
    const left = JSON.stringify(json.HostConfig[key] ?? null)
    t.match(
      left,
      /^(?:null|\[\]|\[\{"Type":"volume","Target":"\/t","VolumeOptions":\{\}\}\]|\{\}|"private"|\{"Type":"json-file".*\})$/,
      `${key} is ${left}`,
    )
    t.ok(warnings.length > 0, `${key}: a warning`)
  }
})

test('audit lets everything through and tells what it would have refused', async (t) => {
  const audit = { ...dedicated, mode: 'audit' as const }
  for (const [host] of WALLS) {
    const refused: string[] = []
    const body = JSON.stringify({ Image: 'a', HostConfig: host })
    const { bytes } = judgeBody(audit, CREATE, new TextEncoder().encode(body), {
      onDecision: (decision) => {
        if (decision.refused) refused.push(decision.path)
      },
    })
    t.match(JSON.parse(new TextDecoder().decode(bytes)).HostConfig, host)
    t.equal(refused.length, 1, JSON.stringify(host))
  }
})

test('values that mean nothing pass, as clients always send them', async (t) => {
  const nothing = {
    Privileged: false,
    CapAdd: null,
    Devices: [],
    PidMode: '',
    Annotations: {},
    MaskedPaths: null,
    OomKillDisable: null,
    MemorySwappiness: -1,
    CgroupParent: '',
    ConsoleSize: [0, 0],
  }
  t.match(withHost(dedicated, nothing).json.HostConfig, nothing)
})

test('the limits of the plan hold, whether a client sent its own or not', async (t) => {
  const limits = (host: object) => withHost(dedicated, host).json.HostConfig
  const full = { Memory: 2 ** 30, MemorySwap: 2 ** 30, NanoCpus: 2e9, PidsLimit: 256 }
  t.match(limits({}), full)
  t.match(limits({ Memory: 0, MemorySwap: -1, NanoCpus: 0, PidsLimit: 0 }), full)
  t.match(limits({ PidsLimit: null, Memory: -1 }), full)
  t.match(limits({ Memory: 2 ** 40, MemorySwap: 2 ** 41, NanoCpus: 64e9, PidsLimit: -1 }), full)
  const less = { Memory: 9e6, MemorySwap: 9e6, NanoCpus: 5e8, PidsLimit: 10 }
  t.match(limits({ ...less, MemorySwap: 0 }), less)
  t.match(limits({ CpuQuota: 50_000 }), { NanoCpus: 5e8, CpuQuota: 0 })
  t.match(limits({ CpuQuota: 50_000, CpuPeriod: 10_000 }), { NanoCpus: 2e9, CpuPeriod: 0 })
  t.match(limits({ MemoryReservation: 2 ** 40 }), { MemoryReservation: 2 ** 30 })
  t.match(limits({ ShmSize: 2 ** 40 }), { ShmSize: 2 ** 30 })
  t.match(limits({ OomScoreAdj: -900 }), { OomScoreAdj: 0 })
  t.match(limits({ Tmpfs: { '/t': 'size=9g,noexec', '/u': '' } }), {
    Tmpfs: { '/t': `size=${2 ** 30},noexec`, '/u': '' },
  })
  t.match(send(dedicated, { Image: 'a' }).json.HostConfig, full, 'without a HostConfig')
  t.match(send(dedicated, { Image: 'a', HostConfig: null }).json.HostConfig, full, 'with none')
})

test('a container has a cgroup namespace of its own, also where engines would give it none', async (t) => {
  const cgroups = (policy: Policy, host: object) =>
    withHost(policy, host).json.HostConfig.CgroupnsMode
  for (const host of [{}, { CgroupnsMode: '' }, { CgroupnsMode: null }])
    t.equal(cgroups(dedicated, host), 'private', JSON.stringify(host))
  t.equal(cgroups(dedicated, { CgroupnsMode: 'private' }), 'private')
  t.equal(cgroups(open, {}), undefined)
})

test('logs are always small', async (t) => {
  const logs = (config: unknown) =>
    withHost(dedicated, { LogConfig: config }).json.HostConfig.LogConfig
  const small = { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } }
  t.strictSame(withHost(dedicated, {}).json.HostConfig.LogConfig, small)
  t.strictSame(logs(null), small)
  t.strictSame(logs({ Type: '', Config: {} }), small)
  t.strictSame(
    logs({ Type: 'json-file', Config: { 'max-size': '99g', 'max-file': '1000' } }),
    small,
  )
  t.strictSame(logs({ Type: 'json-file', Config: { 'max-size': '-1' } }), small)
  t.match(logs({ Type: 'local', Config: { 'max-size': '1m', tag: 'x' } }), {
    Type: 'local',
    Config: { 'max-size': '1m', tag: 'x' },
  })
  t.strictSame(logs({ Type: 'none', Config: { 'max-size': '1m' } }), { Type: 'none', Config: {} })
})

test('a container publishes so many ports as a host has processes to spare', async (t) => {
  const bindings = (count: number, of: (n: number) => unknown) => ({
    PortBindings: Object.fromEntries(
      Array.from({ length: count }, (_, n) => [`${n + 1}/tcp`, of(n)]),
    ),
  })
  const one = (n: number) => [{ HostIp: '', HostPort: String(n + 8000) }]
  t.doesNotThrow(() => withHost(dedicated, bindings(128, one)))
  for (const many of [
    bindings(129, one),
    bindings(129, () => null),
    bindings(43, (n) => [...one(n), ...one(n), ...one(n)]),
  ])
    t.throws(() => withHost(dedicated, many), {
      code: 'POLICY_DENIED',
      message: /HostConfig\.PortBindings .*publishes 129 ports, where 128/,
    })
  t.doesNotThrow(() =>
    withHost(dedicated, { PortBindings: { '80/tcp': [{ HostPort: '8000-8100' }] } }),
  )
})

test('a log tag is text and plain fields, and nothing that the engine would run', async (t) => {
  const tagged = (tag: string, Type = 'json-file') =>
    withHost(dedicated, { LogConfig: { Type, Config: { tag } } }).json.HostConfig.LogConfig
  for (const tag of [
    'web',
    '{{.Name}}',
    '{{ .ImageName }}/{{.Name}}/{{.ID}}',
    'a-{{.FullID}}-{{.ImageID}}-{{.ImageFullID}}-{{.DaemonName}}',
  ])
    t.equal(tagged(tag).Config.tag, tag)
  for (const tag of [
    '{{printf "%1000000d" 1}}',
    '{{$a := "x"}}',
    '{{range $.ContainerEnv}}x{{end}}',
    '{{.Name | printf "%s%s"}}',
    '{{json .}}',
    '{{.Command}}',
    '{{.ExtraAttributes nil}}',
    '{{- .Name -}}',
    '{{.Name.Foo}}',
    '{{/* a */}}',
    '{{.Name',
    '{{.Name}}'.repeat(9),
    'x'.repeat(65),
  ])
    for (const type of ['json-file', 'local', ''])
      t.throws(
        () => tagged(tag, type),
        { code: 'POLICY_DENIED', message: /HostConfig\.LogConfig .*--log-opt tag/ },
        tag,
      )
})

test('no labels or variables are written beside each line of a log', async (t) => {
  const { json, warnings } = withHost(dedicated, {
    LogConfig: {
      Type: 'json-file',
      Config: { labels: 'a', 'labels-regex': '.*', env: 'B', 'env-regex': '.*', mode: 'blocking' },
    },
  })
  t.strictSame(json.HostConfig.LogConfig.Config, {
    mode: 'blocking',
    'max-size': '10m',
    'max-file': '3',
  })
  t.match(warnings, [/LogConfig\.Config: labels, labels-regex, env, env-regex was left out/])
})

test('labels of reserved families are dropped, those of the owner are set', async (t) => {
  const labels = { a: 'b', 'berth.tenant': 'two', 'berth.http': 'x:80', 'TRAEFIK.enable': 'true' }
  t.strictSame(send(dedicated, { Image: 'a', Labels: labels }).json.Labels, {
    a: 'b',
    'berth.http': 'x:80',
    'berth.tenant': 'one',
  })
  t.strictSame(send(dedicated, { Image: 'a' }).json.Labels, { 'berth.tenant': 'one' })
  t.strictSame(send(dedicated, { Image: 'a', Labels: null }).json.Labels, { 'berth.tenant': 'one' })
})

test('where root is forbidden a number runs it, without new privileges', async (t) => {
  const rootless = policyOf({ runAs: 1000 })
  const userOf = (user: unknown) => send(rootless, { Image: 'a', User: user }).json.User
  for (const user of [
    '',
    '0',
    '00',
    'root',
    'app',
    '0:0',
    '1000:0',
    '+5',
    '4294967296',
    ' 5',
    '5:',
  ]) {
    t.equal(userOf(user), '1000:1000', JSON.stringify(user))
  }
  t.equal(userOf('5:6'), '5:6')
  for (const user of ['5', '65534'])
    t.equal(userOf(user), `${user}:${user}`, 'a group of the same number, and not that of root')
  const { json } = send(rootless, { Image: 'a' })
  t.equal(json.User, '1000:1000', 'when none is sent')
  t.strictSame(json.HostConfig.SecurityOpt, ['no-new-privileges=true'])
  t.match(refusal(rootless, { GroupAdd: ['root'] }), /^POLICY_DENIED/)
  t.match(refusal(rootless, { GroupAdd: ['0'] }), /^POLICY_DENIED/)
})

test('capabilities, profiles and runtimes that the operator wants are in every container', async (t) => {
  const strict = policyOf(
    { onlyCapabilities: ['CHOWN', 'NET_BIND_SERVICE'], seccomp: '{}', apparmor: 'berth' },
    { ...TERMS, runtime: 'runsc', cgroupParent: '/berth/one' },
  )
  t.match(withHost(strict, {}).json.HostConfig, {
    CapAdd: ['CHOWN', 'NET_BIND_SERVICE'],
    CapDrop: ['ALL'],
    SecurityOpt: ['seccomp={}', 'apparmor=berth'],
    Runtime: 'runsc',
    CgroupParent: '/berth/one',
  })
  const asked = withHost(strict, { CapAdd: ['cap_chown'], CapDrop: ['ALL'], Runtime: 'runc' })
  t.match(asked.json.HostConfig, { CapAdd: ['CHOWN'], CapDrop: ['ALL'], Runtime: 'runsc' })
  t.match(refusal(strict, { CapAdd: ['SETUID'] }), /SETUID/)
})

test('a security option that asks for a default is left out, so that the engine has its own', async (t) => {
  const options = (policy: Policy, ...asked: readonly string[]) =>
    withHost(policy, { SecurityOpt: asked }).json.HostConfig.SecurityOpt
  for (const sign of ['=', ':']) {
    const defaults = ['seccomp', 'apparmor', 'no-new-privileges'].map(
      (name, index) => name + sign + ['builtin', 'docker-default', 'false'][index],
    )
    t.strictSame(options(dedicated, ...defaults), [])
    t.strictSame(options(open, ...defaults), defaults, 'the open profile changes nothing')
    const forced = { runAs: 1000, seccomp: '{}', apparmor: 'berth' }
    for (const option of defaults)
      t.match(refusal(policyOf(forced), { SecurityOpt: [option] }), /^POLICY_DENIED/, option)
  }
  const NO_NEW = 'no-new-privileges'
  t.strictSame(options(dedicated, NO_NEW, 'seccomp=builtin'), [NO_NEW])
  t.strictSame(options(dedicated, NO_NEW, `${NO_NEW}=false`), [], 'the last of a name holds')
  t.strictSame(options(dedicated, `${NO_NEW}=false`, NO_NEW), [`${NO_NEW}=false`, NO_NEW])
  const own = policyOf({ securityOptions: ['seccomp=builtin', 'seccomp=unconfined'] })
  t.strictSame(options(own, 'seccomp=builtin'), ['seccomp=builtin'], 'listed by the operator')
  t.strictSame(options(own, 'seccomp=unconfined', 'seccomp:builtin'), [], 'never looser')
})

test('without networking a container joins none', async (t) => {
  const alone = policyOf({ networking: false })
  const { json } = send(alone, {
    Image: 'a',
    HostConfig: { NetworkMode: 'mine' },
    NetworkingConfig: { EndpointsConfig: { mine: {} } },
  })
  t.equal(json.HostConfig.NetworkMode, 'none')
  t.strictSame(json.NetworkingConfig, { EndpointsConfig: {} })
  t.equal(withHost(alone, {}).json.HostConfig.NetworkMode, 'none')
})

test('ports keep to their range', async (t) => {
  const ranged = policyOf({ ports: '8000-8999' })
  const ports = (binding: object) => refusal(ranged, { PortBindings: { '80/tcp': [binding] } })
  t.match(ports({ HostIp: '', HostPort: '8080' }), /^passed/)
  t.match(ports({ HostPort: '8000-8010' }), /^passed/)
  t.match(ports({ HostPort: '8990-9010' }), /8000-8999/)
  t.match(ports({ HostPort: '0' }), /a port has to be named/)
  const free = (port: string) =>
    refusal(dedicated, { PortBindings: { '80/tcp': [{ HostPort: port }] } })
  t.match(free('0'), /^passed/, 'the engine picks one')
  t.match(free('0-5'), /not among 1-65535/)
  t.match(ports({ HostPort: '80' }), /8000-8999/)
  t.match(ports({ HostPort: '' }), /^POLICY_DENIED/)
  t.match(ports({ HostPort: '8080', HostIp: 'x; y' }), /HostIp/)
  t.match(refusal(ranged, { PortBindings: { '80/tcp': [] } }), /^POLICY_DENIED/)
  t.match(refusal(ranged, { PublishAllPorts: true }), /^POLICY_DENIED/)
  t.match(refusal(dedicated, { PortBindings: { '80/tcp': [{ HostPort: '99999' }] } }), /^POLICY/)
})

test('endpoints join networks by their names only, and not that of the host', async (t) => {
  const endpoints = (config: object) =>
    send(dedicated, { Image: 'a', NetworkingConfig: { EndpointsConfig: config } })
  t.throws(() => endpoints({ host: {} }), { code: 'POLICY_DENIED', message: /--network host/ })
  const { json, references } = endpoints({
    mine: { NetworkID: 'abc', Aliases: ['x'], Gateway: 'y' },
  })
  t.strictSame(json.NetworkingConfig.EndpointsConfig, { mine: { Aliases: ['x'] } })
  t.match(references, [
    { kind: 'image' },
    { kind: 'network', name: 'mine' },
    { kind: 'network', name: 'abc' },
  ])
  t.throws(
    () => endpoints({ mine: { DriverOpts: { 'com.docker.network.endpoint.sysctls': 'x' } } }),
    { code: 'POLICY_DENIED' },
  )
})

test('everything that a body names is told, to be resolved', async (t) => {
  const { references } = withHost(shared, {
    NetworkMode: 'container:net',
    PidMode: 'container:pid',
    IpcMode: 'container:ipc',
    VolumesFrom: ['from:ro'],
    Binds: ['data:/data', '/anonymous'],
    Mounts: [
      { Type: 'volume', Source: 'vol', Target: '/v' },
      { Type: 'image', Source: 'img', Target: '/i' },
    ],
  })
  t.match(references, [
    { kind: 'image', name: 'a', path: 'Image' },
    { kind: 'container', name: 'net', path: 'HostConfig.NetworkMode', verdict: 'confine' },
    { kind: 'container', name: 'pid' },
    { kind: 'container', name: 'ipc' },
    { kind: 'container', name: 'from' },
    { kind: 'volume', name: 'data' },
    { kind: 'volume', name: 'vol' },
    { kind: 'image', name: 'img' },
  ])
})

test('a body cannot make berth look up more than a few hundred things', async (t) => {
  const many = (count: number) => Array.from({ length: count }, (_, at) => `v${at}:/v`)
  t.doesNotThrow(() => withHost(dedicated, { Binds: many(256) }))
  t.throws(() => withHost(dedicated, { Binds: many(257) }), {
    code: 'BODY_TOO_LARGE',
    message: /HostConfig\.Binds names more than 256/,
  })
})

test('healthchecks and stops do not keep the engine busy', async (t) => {
  const { json } = send(dedicated, {
    Image: 'a',
    StopTimeout: -1,
    Healthcheck: { Test: ['CMD', 'true'], Interval: 1_000_000, Timeout: 5 },
  })
  t.match(json, { StopTimeout: 0, Healthcheck: { Interval: 1_000_000_000, Timeout: 5 } })
})

test('HostConfig keys at the top level, which old engines take, are dropped', async (t) => {
  const { json } = send(dedicated, {
    Image: 'a',
    Privileged: true,
    Memory: 5,
    CapAdd: ['ALL'],
    Binds: ['/:/h'],
    Cpuset: '0',
  })
  t.strictSame(Object.keys(json).sort(), ['HostConfig', 'Image', 'Labels'])
})
