import { readFileSync } from 'node:fs'
import { type Test, test } from 'tap'
import { BODIES, judgeBody } from '../../src/policy/body.ts'
import { definePolicies, PROFILE_POLICIES } from '../../src/policy/effective.ts'
import { type Policy, withTerms } from '../../src/policy/policy.ts'

const dedicated = withTerms(PROFILE_POLICIES.dedicated, {
  memory: 1n << 30n,
  nanoCpus: 2_000_000_000n,
  pids: 256n,
  labels: new Map([['berth.tenant', 'one']]),
})
const policyOf = (options: object): Policy => definePolicies({ mine: options }).mine!

const sendText = (policy: Policy, route: keyof typeof BODIES, text: string) => {
  const judged = judgeBody(policy, BODIES[route]!, new TextEncoder().encode(text))
  return { ...judged, json: JSON.parse(new TextDecoder().decode(judged.bytes)) }
}
const send = (route: keyof typeof BODIES, body: object, policy = dedicated) =>
  sendText(policy, route, JSON.stringify(body))

const refused = (
  t: Test,
  route: keyof typeof BODIES,
  body: object,
  message: RegExp,
  policy = dedicated,
) => {
  const text = JSON.stringify(body)
  t.throws(() => send(route, body, policy), { code: 'POLICY_DENIED', message }, text)
}

const capture = (name: string) =>
  JSON.parse(
    readFileSync(new URL(`../../fixtures/create/create-${name}.json`, import.meta.url), 'utf8'),
  )

test('what real clients send passes as it is', async (t) => {
  for (const name of ['cli-28.2.2-exec-i', 'cli-28.2.2-exec-it', 'compose-2.40.3-exec']) {
    t.strictSame(send('exec.create', capture(name)).json, capture(name), name)
  }
  const start = capture('cli-28.2.2-exec-start-it')
  t.strictSame(send('exec.start', start).json, start)
  for (const name of ['cli-28.2.2-network', 'compose-2.40.3-network-back']) {
    const { Scope: _, ...body } = capture(name)
    const labels = { ...body.Labels, 'berth.tenant': 'one' }
    t.strictSame(send('network.create', capture(name)).json, { ...body, Labels: labels }, name)
  }
  for (const name of ['cli-28.2.2-volume', 'compose-2.40.3-volume-webcache']) {
    const body = capture(name)
    const labels = { ...body.Labels, 'berth.tenant': 'one' }
    t.strictSame(send('volume.create', body).json, { ...body, Labels: labels }, name)
  }
})

test('an exec has no more rights than its container', async (t) => {
  refused(t, 'exec.create', { Cmd: ['sh'], Privileged: true }, /exec\.Privileged.*--privileged/)
  const rootless = policyOf({ runAs: 1000 })
  for (const body of [{}, { User: 'root' }, { User: '0' }, { User: null }]) {
    t.equal(send('exec.create', body, rootless).json.User, '1000:1000', JSON.stringify(body))
  }
  t.equal(send('exec.create', { User: '33' }, rootless).json.User, '33:33')
})

test('a body that may be absent is sent as an empty one', async (t) => {
  t.strictSame(sendText(dedicated, 'exec.start', '').json, {})
  t.throws(() => sendText(dedicated, 'exec.create', ''), { code: 'MALFORMED_BODY' })
})

test('an update has the limits of a create, and leaves alone what it does not name', async (t) => {
  t.strictSame(send('container.update', {}).json, {})
  const nothing = {
    Memory: 0,
    MemorySwap: 0,
    NanoCpus: 0,
    CpuQuota: 0,
    PidsLimit: null,
    RestartPolicy: { Name: 'no' },
  }
  const { MemorySwap: _, ...kept } = nothing
  t.strictSame(send('container.update', nothing).json, kept)
  t.match(send('container.update', { Memory: 2 ** 40, MemorySwap: -1 }).json, {
    Memory: 2 ** 30,
    MemorySwap: 2 ** 30,
  })
  t.match(send('container.update', { Memory: 9e6 }).json, { Memory: 9e6, MemorySwap: 9e6 })
  t.strictSame(send('container.update', { MemorySwap: -1 }).json, {})
  t.match(send('container.update', { Memory: -1 }).json, { Memory: 2 ** 30 })
  for (const pids of [0, -1, 9999]) {
    t.match(send('container.update', { PidsLimit: pids }).json, { PidsLimit: 256 })
  }
  t.match(send('container.update', { CpuQuota: 1e9 }).json, { NanoCpus: 2e9, CpuQuota: 0 })
  t.match(send('container.update', { MemoryReservation: 2 ** 40 }).json, {
    MemoryReservation: 2 ** 30,
  })
  refused(
    t,
    'container.update',
    { BlkioDeviceReadBps: [{ Path: '/dev/x', Rate: 1 }] },
    /HostConfig/,
  )
  t.strictSame(send('container.update', { Privileged: true, Devices: [] }).json, {})
  t.throws(() => sendText(dedicated, 'container.update', '{"memory":1}'), {
    code: 'MALFORMED_BODY',
  })
})

test('a volume is a plain directory of the engine', async (t) => {
  const bind = { type: 'none', o: 'bind', device: '/' }
  refused(t, 'volume.create', { Name: 'v', DriverOpts: bind }, /volume\.DriverOpts.*driver_opts/)
  refused(t, 'volume.create', { Name: 'v', DriverOpts: { device: '' } }, /device/)
  refused(t, 'volume.create', { Name: 'v', Driver: 'rclone' }, /volume\.Driver/)
  t.match(send('volume.create', { Driver: 'local', DriverOpts: { size: '1g' } }).json, {
    DriverOpts: { size: '1g' },
  })
  t.strictSame(send('volume.create', { Name: 'v', ClusterVolumeSpec: { Group: 'x' } }).json, {
    Name: 'v',
    Labels: { 'berth.tenant': 'one' },
  })
})

test('a network is a bridge that covers nothing of the host', async (t) => {
  const network = (body: object, says: RegExp, policy = dedicated) =>
    refused(t, 'network.create', { Name: 'n', ...body }, says, policy)
  for (const driver of ['macvlan', 'ipvlan', 'host', 'overlay', 'weave']) {
    network({ Driver: driver }, /network\.Driver.*-d bridge/)
  }
  network({ Options: { parent: 'eth0' } }, /parent/)
  network({ Options: { 'com.docker.network.bridge.name': 'docker0' } }, /bridge\.name/)
  network({ Options: { 'com.docker.network.bridge.gateway_mode_ipv4': '' } }, /gateway_mode/)
  network({ ConfigFrom: { Network: 'other' } }, /--config-from/)
  network({ ConfigOnly: true }, /--config-only/)
  network({ Ingress: true }, /--ingress/)
  network({ IPAM: { Driver: 'dhcp' } }, /--ipam-driver/)
  network({ IPAM: { Options: { a: '' } } }, /--ipam-opt/)
  const subnet = (text: string) => ({ IPAM: { Config: [{ Subnet: text }] } })
  const uplink = policyOf({ subnetsInUse: ['192.168.7.0/24', 'fd00:1::/64'] })
  for (const bad of ['192.168.7.128/25', '192.168.0.0/16', '0.0.0.0/0', 'fd00::/16', '::/0']) {
    network(subnet(bad), /in use on the host/, uplink)
  }
  for (const bad of ['127.0.0.0/8', '169.254.169.254/32', '::ffff:a00:0/104', 'fe80::/64']) {
    network(subnet(bad), /in use on the host/)
  }
  for (const bad of [
    '010.0.0.0/8',
    '0x7f.1/8',
    '10.0.0.0/255.0.0.0',
    '10/8',
    '::ffff:127.0.0.0/104',
  ]) {
    network(subnet(bad), /no plain address/)
  }
  for (const bad of [
    '8.8.8.0/24',
    '2000::/3',
    '1.1.1.1/32',
    '172.0.0.0/8',
    '192.0.0.0/8',
    '10.0.0.0/7',
    '100.0.0.0/8',
    '2001:4860:4860::/48',
    'f800::/6',
  ]) {
    network(subnet(bad), /could no longer reach.*choose one within 10\.0\.0\.0\/8/)
  }
  for (const good of [
    '10.0.0.0/8',
    '172.28.5.0/24',
    '192.168.0.0/16',
    '100.64.0.0/24',
    '198.18.0.0/15',
    'fd00:2::/64',
    '2001:db8::/64',
  ]) {
    t.doesNotThrow(() => send('network.create', subnet(good)), good)
  }
  const mine = policyOf({ subnets: ['203.0.113.0/24'] })
  t.doesNotThrow(() => send('network.create', subnet('203.0.113.128/25'), mine))
  network(subnet('10.9.0.0/24'), /choose one within 203/, mine)
  const within = (more: object) => ({ IPAM: { Config: [{ Subnet: '10.9.0.0/24', ...more }] } })
  const own = { IPRange: '10.9.0.128/25', Gateway: '10.9.0.1' }
  t.doesNotThrow(() =>
    send('network.create', within({ ...own, AuxiliaryAddresses: { a: '10.9.0.5' } })),
  )
  for (const more of [
    { Gateway: '8.8.8.8' },
    { Gateway: '10.9.0.1/8' },
    { Gateway: 'fd00::1' },
    { IPRange: '10.9.0.0/16' },
    { AuxiliaryAddresses: { a: '8.8.8.8' } },
  ]) {
    network(within(more), /is not within 10\.9\.0\.0\/24/)
  }
  network({ IPAM: { Config: [{ Gateway: '8.8.8.8' }] } }, /it has no Subnet/)
  t.doesNotThrow(() => send('network.create', { IPAM: { Config: [{}] } }))
  t.doesNotThrow(() => send('network.create', subnet('10.9.0.0/24'), uplink))
  t.doesNotThrow(() => send('network.create', subnet('fd00:2::/64'), uplink))
})

test('a connect joins the network of its path, and no other', async (t) => {
  const { json, references } = send('network.connect', {
    Container: 'c',
    EndpointConfig: { NetworkID: 'other', Aliases: ['x'] },
  })
  t.strictSame(json, { Container: 'c', EndpointConfig: { Aliases: ['x'] } })
  t.match(references, [{ kind: 'container', name: 'c' }])
  refused(
    t,
    'network.connect',
    { EndpointConfig: { DriverOpts: { 'com.docker.network.endpoint.sysctls': 'x' } } },
    /connect\.EndpointConfig\.DriverOpts/,
  )
  t.match(send('network.disconnect', { Container: 'c', Force: true }), {
    json: { Container: 'c', Force: true },
    references: [{ name: 'c' }],
  })
})

test('a commit bakes in no labels of reserved families', async (t) => {
  const body = { Labels: { a: 'b', 'berth.tenant': 'x', 'traefik.enable': 'true' }, User: 'root' }
  t.strictSame(send('image.commit', body).json, { Labels: { a: 'b' }, User: 'root' })
})

test('credentials are tried only at registries that are allowed', async (t) => {
  const narrow = policyOf({ extends: 'shared', images: ['registry.example.com/**'] })
  refused(t, 'system.auth', { serveraddress: '10.0.0.1:2375' }, /auth\.serveraddress/, narrow)
  refused(t, 'system.auth', { serveraddress: 'https://index.docker.io/v1/' }, /auth/, narrow)
  t.doesNotThrow(() =>
    send(
      'system.auth',
      { username: 'u', serveraddress: 'https://registry.example.com/v2/' },
      narrow,
    ),
  )
})
