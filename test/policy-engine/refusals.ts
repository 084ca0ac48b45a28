/** What would let a tenant out is refused where he sees it, and leaves nothing behind. */
import { test } from 'tap'
import { docker } from '../../fixtures/docker.ts'
import { leavings, startFenced } from '../support/fenced.ts'

const RUN = ['run', '--rm']
const WITH = ['busybox', 'true']
const mounts = (spec: string): string[] => [...RUN, '--mount', spec, ...WITH]

interface Refused {
  readonly args: readonly string[]
  /** What the message has to name. */
  readonly names: RegExp
  /** Of the command, as without berth. */
  readonly code: number
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
}

const run = (names: RegExp, ...flags: string[]): Refused => ({
  args: [...RUN, ...flags, ...WITH],
  names,
  code: 125,
})

const DOCKERFILE = 'FROM busybox\nRUN true\n'
const CLASSIC = { DOCKER_BUILDKIT: '0' }
const LOCAL_BIND = 'volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc'

const REFUSED: readonly Refused[] = [
  run(/HostConfig\.Binds\[0\] = "\/:\/h".*-v NAME:\/path/, '-v', '/:/h'),
  run(/Binds\[0\].*engine's socket/, '-v', '/var/run/docker.sock:/var/run/docker.sock'),
  run(/HostConfig\.Privileged.*--privileged/, '--privileged'),
  run(/HostConfig\.PidMode.*--pid host/, '--pid', 'host'),
  run(/HostConfig\.IpcMode.*--ipc host/, '--ipc', 'host'),
  run(/HostConfig\.UTSMode.*--uts host/, '--uts', 'host'),
  run(/HostConfig\.UsernsMode.*--userns host/, '--userns', 'host'),
  run(/HostConfig\.CgroupnsMode.*--cgroupns host/, '--cgroupns', 'host'),
  run(/HostConfig\.NetworkMode.*--network host/, '--network', 'host'),
  run(/HostConfig\.CapAdd\[0\].*SYS_ADMIN.*--cap-add/, '--cap-add', 'SYS_ADMIN'),
  run(/HostConfig\.CapAdd\[0\].*ALL/, '--cap-add', 'all'),
  run(/HostConfig\.Devices.*--device/, '--device', '/dev/null'),
  run(/HostConfig\.DeviceCgroupRules/, '--device-cgroup-rule', 'b *:* rwm'),
  run(/HostConfig\.DeviceRequests.*--gpus/, '--gpus', 'all'),
  run(/HostConfig\.SecurityOpt\[0\].*seccomp/, '--security-opt', 'seccomp=unconfined'),
  run(/HostConfig\.SecurityOpt\[0\].*apparmor/, '--security-opt', 'apparmor=unconfined'),
  run(/HostConfig\.(Masked|Readonly)Paths/, '--security-opt', 'systempaths=unconfined'),
  run(/HostConfig\.CgroupParent.*--cgroup-parent/, '--cgroup-parent', '/'),
  run(/HostConfig\.Runtime.*--runtime/, '--runtime', 'io.containerd.evil.v2'),
  run(/HostConfig\.OomKillDisable/, '-m', '9m', '--oom-kill-disable'),
  run(/HostConfig\.LogConfig.*syslog/, '--log-driver', 'syslog'),
  run(/HostConfig\.VolumeDriver/, '--volume-driver', 'nfs', '-v', 'x:/x'),
  run(/HostConfig\.Annotations/, '--annotation', 'a=b'),
  run(/HostConfig\.BlkioDeviceReadBps/, '--device-read-bps', '/dev/null:1mb'),
  { args: mounts('type=bind,source=/,target=/h'), names: /HostConfig\.Mounts\[0\]/, code: 125 },
  {
    args: mounts(`type=volume,source=x,target=/x,${LOCAL_BIND}`),
    names: /HostConfig\.Mounts\[0\]\.VolumeOptions\.DriverConfig/,
    code: 125,
  },
  {
    args: ['volume', 'create', '-o', 'type=none', '-o', 'o=bind', '-o', 'device=/', 'left'],
    names: /volume\.DriverOpts/,
    code: 1,
  },
  { args: ['volume', 'create', '-d', 'nfs', 'left'], names: /volume\.Driver /, code: 1 },
  { args: ['exec', '--privileged', 'mine', 'true'], names: /exec\.Privileged/, code: 1 },
  { args: ['network', 'create', '-d', 'macvlan', 'left'], names: /network\.Driver/, code: 1 },
  { args: ['network', 'create', '-d', 'ipvlan', 'left'], names: /network\.Driver/, code: 1 },
  {
    args: ['network', 'create', '-o', 'com.docker.network.bridge.name=docker0', 'left'],
    names: /network\.Options/,
    code: 1,
  },
  {
    args: ['network', 'create', '--subnet', '169.254.0.0/16', 'left'],
    names: /network\.IPAM\.Config\[0\].*169\.254/,
    code: 1,
  },
  {
    args: ['network', 'create', '--subnet', '8.8.8.0/24', '--gateway', '8.8.8.1', 'left'],
    names: /network\.IPAM\.Config\[0\].*the host itself could no longer reach/,
    code: 1,
  },
  { args: ['network', 'create', '--config-only', 'left'], names: /network\.ConfigOnly/, code: 1 },
  {
    args: ['build', '--network', 'host', '-'],
    input: DOCKERFILE,
    names: /network\.host.*--network host/,
    code: 1,
  },
  {
    args: ['build', '--network', 'host', '-'],
    input: DOCKERFILE,
    env: CLASSIC,
    names: /build\.networkmode.*--network host/,
    code: 1,
  },
  {
    args: ['build', '--cgroup-parent', '/', '-'],
    input: DOCKERFILE,
    env: CLASSIC,
    names: /build\.cgroupparent/,
    code: 1,
  },
  {
    args: ['build', '--cgroup-parent', '/free', '-'],
    input: DOCKERFILE,
    names: /build\.cgroupparent = "\/free"/,
    code: 1,
  },
  {
    args: ['plugin', 'install', '--grant-all-permissions', 'some/plugin'],
    names: /plugin.*host/,
    code: 1,
  },
  { args: ['swarm', 'init'], names: /swarm\.init/, code: 1 },
  { args: ['service', 'create', 'busybox'], names: /service/, code: 1 },
  { args: ['update', '--cpu-rt-runtime', '1000', 'mine'], names: /CpuRealtimeRuntime/, code: 1 },
  { args: ['top', 'mine', '-o', 'pid', '--info'], names: /top\.ps_args/, code: 1 },
  {
    args: ['top', 'mine', '-eo', 'lstart,uid,gid,ppid,pid,args'],
    names: /top\.ps_args.*pid before/,
    code: 1,
  },
  { args: ['import', 'http://127.0.0.1/x.tar'], names: /pull\.fromSrc/, code: 1 },
]

const READABLE = /berth: not allowed here: .*\(request [0-9a-z-]+\)/s

test('dedicated refuses what reaches the host of the engine', async (t) => {
  const fenced = await startFenced(t)
  const host = fenced.url
  await docker(host, ['run', '--detach', '--init', '--name', 'mine', 'busybox', 'sleep', '1000'])
  const before = await leavings(fenced)
  t.ok(before.includes('/mine'))
  for (const { args, names, code, ...options } of REFUSED) {
    const ran = await docker(host, args, options)
    const said = ran.stderr.replaceAll('\n', ' ')
    t.equal(ran.code, code, `docker ${args.join(' ')}: ${said}`)
    t.match(said, names)
    t.match(said, READABLE)
  }
  t.strictSame(await leavings(fenced), before, 'nothing is left behind')
})

test('open lets its tenant do what he likes', async (t) => {
  const { url } = await startFenced(t, { yaml: 'profile: open' })
  const ran = await docker(url, [...RUN, '--privileged', '-v', '/:/h', '--pid', 'host', ...WITH])
  t.match(ran, { code: 0, stderr: '' })
})
