import { test } from 'tap'
import { definePolicies, PROFILE_POLICIES } from '../../src/policy/effective.ts'
import type { Mention } from '../../src/policy/hearing.ts'
import { joinedBy, judgeObject } from '../../src/policy/objects.ts'

const { dedicated, open } = PROFILE_POLICIES
const PATH = 'HostConfig.NetworkMode'
const LAN: Mention = { kind: 'network', name: 'lan', path: PATH, verdict: 'confine' }
const CONNECT = { id: 'network.connect' }

test('a network of the host, or of its cards, is joined only where the operator offers it', async (t) => {
  const { mine: offering } = definePolicies({ mine: { sharedNetworks: ['lan-*'] } })
  for (const more of [
    { Driver: 'macvlan', Options: { parent: 'eth0' } },
    { Driver: 'ipvlan' },
    { Driver: 'overlay' },
    { Driver: 'bridge', Options: { 'com.docker.network.bridge.name': 'lan0' } },
  ]) {
    const network = { Name: 'lan-7', ...more }
    t.throws(() => judgeObject(dedicated, LAN, network), {
      code: 'POLICY_DENIED',
      message:
        /NetworkMode names "lan".*that network has network\.(Driver|Options).*[^.]\. Join a network of your own\.$/,
    })
    t.strictSame(judgeObject(offering!, LAN, network), [])
  }
  t.throws(() => judgeObject(offering!, LAN, { Name: 'lan-host', Driver: 'host' }), {
    message: /network of the engine's host/,
  })
})

test("a volume of berth's own making keeps nobody out", async (t) => {
  const { mine: strict } = definePolicies({ mine: { rows: { 'volume.DriverOpts': 'deny' } } })
  const files: Mention = {
    kind: 'volume',
    name: 'files',
    path: 'HostConfig.VolumesFrom',
    verdict: 'confine',
  }
  const volume = (size: string) => ({ Driver: 'local', Options: { size } })
  t.strictSame(judgeObject(strict!, files, volume('0')), [])
  t.throws(() => judgeObject(strict!, files, volume('1')), { code: 'POLICY_DENIED' })
})

test('what engines put on networks by themselves keeps nobody out', async (t) => {
  for (const network of [
    { Name: 'own', Driver: 'bridge', Options: {} },
    { Name: 'own', Driver: 'bridge', Options: null },
    { Name: 'none', Driver: 'null' },
    { Name: 'bridge', Driver: 'bridge', Options: { 'com.docker.network.bridge.name': 'docker0' } },
    {
      Name: 'own',
      Driver: 'bridge',
      Options: {
        'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1',
        'com.docker.network.driver.mtu': '1400',
        'com.docker.network.enable_ipv6': 'true',
      },
    },
  ])
    t.strictSame(judgeObject(dedicated, LAN, network), [], JSON.stringify(network))
})

test('a container leans on the networks that it is in, and on those that it leans on', async (t) => {
  const inspected = {
    HostConfig: { NetworkMode: 'container:abc', PidMode: 'container:def' },
    NetworkSettings: { Networks: { bridge: {}, lan: {} } },
    Mounts: [{ Type: 'volume', Name: 'data' }],
  }
  const box: Mention = { kind: 'container', name: 'box', path: PATH, verdict: 'confine' }
  t.strictSame(
    judgeObject(dedicated, box, inspected).map(({ kind, name, path }) => [kind, name, path]),
    [
      ['container', 'abc', PATH],
      ['container', 'def', PATH],
      ['network', 'lan', PATH],
      ['volume', 'data', PATH],
    ],
  )
})

test('a connect names a network in its path', async (t) => {
  t.match(joinedBy(dedicated, CONNECT, ['lan']), [{ kind: 'network', verdict: 'confine' }])
  t.match(joinedBy(open, CONNECT, ['lan']), [{ verdict: 'allow' }])
  t.strictSame(joinedBy(dedicated, { id: 'network.remove' }, ['lan']), [])
})
