/** Execs, volumes, networks and builds that mean harm, through berth to real engines. */
import fc from 'fast-check'
import { type Test, test } from 'tap'
import type { Release } from '../../fixtures/engine.ts'
import { type Api, createApi } from '../support/api.ts'
import { fence, startFenced } from '../support/fenced.ts'
import { objectOf, oneOf, onTheWire, STRANGERS, someOf } from '../support/hostile.ts'
import { escapesOf, type Inspected, PLAN_YAML } from '../support/hostile-create.ts'
import { eachOf, many, SEED } from '../support/lanes.ts'

const RELEASES = ['current', 'old'] as const satisfies Release[]
const STRIP = `profile: lenient\npolicies: { lenient: { onViolation: strip, runAs: 10001 } }\n${PLAN_YAML}`

const LABELS = oneOf({}, { a: 'b' }, { 'berth.tenant': 'x' }, { 'TRAEFIK.enable': 'true' })
const isReserved = (labels: object | null | undefined): boolean =>
  Object.keys(labels ?? {}).some((name) => /^(berth|traefik)\./i.test(name))

/** An engine looks for such a plugin for as long as one may take to start. */
const UNKNOWN_DRIVER = /driver"\s*:\s*"x"/i

/** Bodies of a few members each. @param always with NAME for a name that is theirs alone */
const bodies = (
  members: Parameters<typeof objectOf>[0],
  count: number,
  always = '"Name":"NAME"',
): readonly Buffer[] => {
  const text = fc
    .tuple(objectOf(members, 3), fc.oneof({ weight: 8, arbitrary: fc.constant('') }, STRANGERS))
    .map(([object, stranger]) => `{${always},${stranger}${stranger && ','}${object.slice(1)}`)
  return fc
    .sample(onTheWire(text), { numRuns: count, seed: SEED })
    .filter((body) => !UNKNOWN_DRIVER.test(body.toString()))
    .map((body, at) => Buffer.from(body.toString('latin1').replace('NAME', `some${at}`), 'latin1'))
}

interface Tried {
  readonly made: number
  readonly harm: readonly string[]
}

/** Sends each body; `harmOf` looks at what one has made, and takes it away. */
const tryAll = async (
  api: Api,
  path: string,
  all: readonly Buffer[],
  harmOf: (made: Record<string, string>) => Promise<string | undefined>,
): Promise<Tried> => {
  const harm: string[] = []
  let made = 0
  await eachOf(all, async (body) => {
    const answer = await api.call('POST', path, body)
    if (answer.status !== 201) return
    made++
    const done = await harmOf(JSON.parse(answer.body.toString()))
    if (done !== undefined) harm.push(`${done}: ${body}`)
  })
  return { made, harm }
}

/** The same bodies without berth, and through it where it refuses and where it strips; the first is known to do harm. */
const compare = async (
  t: Test,
  [direct, ...through]: readonly Api[],
  path: string,
  [harmful, ...others]: readonly [object, ...Buffer[]],
  harmOf: Parameters<typeof tryAll>[3],
): Promise<void> => {
  const all = [Buffer.from(JSON.stringify(harmful)), ...others]
  const without = await tryAll(direct!, path, all.slice(0, all.length / 2), harmOf)
  t.ok(without.harm.length > 0, `without berth ${without.harm.length} do harm`)
  for (const api of through) {
    const { made, harm } = await tryAll(api, path, all, harmOf)
    t.strictSame(harm, [])
    t.ok(made > 0, `${made} of ${all.length} have made something`)
  }
}

for (const release of RELEASES)
  test(`hostile execs, volumes, networks and builds (${release} engine)`, async (t) => {
    t.comment(`BERTH_SEED=${SEED}`)
    const { engine, direct, through } = await startFenced(t, { release, yaml: PLAN_YAML })
    const strip = createApi(await fence(t, engine, STRIP))
    t.teardown(() => strip.close())
    const apis = [direct, through, strip]

    await t.test('exec', async (t) => {
      const { Id } = await direct.json<{ Id: string }>('POST', '/containers/create?name=target', {
        Image: 'busybox',
        Cmd: ['sleep', '1000'],
        HostConfig: { Init: true },
      })
      await direct.json('POST', `/containers/${Id}/start`)
      const members = {
        Privileged: oneOf(true, false, null),
        User: oneOf('', '0', 'root', '00', '10001:0', '5'),
        Env: someOf('A=1'),
        WorkingDir: oneOf('', '/'),
        Tty: oneOf(true, false),
        AttachStdin: oneOf(true, false),
        DetachKeys: oneOf('', 'ctrl-a'),
      }
      const all = bodies(members, many(200), '"Cmd":["true"]')
      const harmOf = (runAs: boolean) => async (made: Record<string, string>) => {
        const { ProcessConfig } = await direct.json<{
          ProcessConfig: { privileged: boolean; user?: string }
        }>('GET', `/exec/${made.Id}/json`)
        if (ProcessConfig.privileged) return 'privileged'
        return runAs && !/^[1-9][0-9]*(:[1-9][0-9]*)?$/.test(ProcessConfig.user ?? '')
          ? `user ${ProcessConfig.user}`
          : undefined
      }
      await compare(
        t,
        [direct, through],
        '/containers/target/exec',
        [{ Cmd: ['true'], Privileged: true }, ...all],
        harmOf(false),
      )
      await compare(
        t,
        [direct, strip],
        '/containers/target/exec',
        [{ Cmd: ['true'], Privileged: true }, ...all],
        harmOf(true),
      )
    })

    await t.test('volumes', async (t) => {
      const all = bodies(
        {
          // no other: an engine looks for the plugin for as long as it may be starting
          Driver: oneOf('', 'local', null),
          DriverOpts: oneOf(
            {},
            null,
            { type: 'none', o: 'bind', device: '/' },
            { type: 'tmpfs', device: 'tmpfs' },
            { Device: '/', o: 'bind' },
          ),
          Labels: LABELS,
          ClusterVolumeSpec: oneOf(null, {}),
        },
        many(200),
      )
      const bind = { Name: 'bind', DriverOpts: { type: 'none', o: 'bind', device: '/' } }
      await compare(t, apis, '/volumes/create', [bind, ...all], async ({ Name }) => {
        const volume = await direct.json<{
          Driver: string
          Options: object | null
          Labels: object | null
        }>('GET', `/volumes/${Name}`)
        await direct.call('DELETE', `/volumes/${Name}`)
        const isPlain = volume.Driver === 'local' && Object.keys(volume.Options ?? {}).length === 0
        return isPlain && !isReserved(volume.Labels) ? undefined : JSON.stringify(volume)
      })
    })

    await t.test('networks', async (t) => {
      const all = bodies(
        {
          Driver: oneOf('', 'bridge', 'macvlan', 'ipvlan', 'host', 'null'),
          Options: oneOf(
            {},
            null,
            { parent: 'lo' },
            { 'com.docker.network.bridge.name': 'docker7' },
            { 'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0' },
            { 'com.docker.network.driver.mtu': '1400' },
          ),
          IPAM: objectOf({
            Driver: oneOf('', 'default', 'null'),
            Config: oneOf(
              [],
              null,
              [{ Subnet: '127.8.0.0/16' }],
              [{ Subnet: '169.254.0.0/16', Gateway: '169.254.169.254' }],
              [{ Subnet: '10.99.0.0/24' }],
            ),
            Options: oneOf({}, { a: 'b' }),
          }),
          Internal: oneOf(true, false),
          Ingress: oneOf(true, false),
          Scope: oneOf('', 'local', 'swarm'),
          ConfigOnly: oneOf(true, false),
          ConfigFrom: oneOf(null, { Network: '' }, { Network: 'bridge' }),
          EnableIPv6: oneOf(false, null),
          Labels: LABELS,
        },
        many(50),
      )
      const allowed = new Set([
        'com.docker.network.driver.mtu',
        'com.docker.network.enable_ipv4',
        'com.docker.network.enable_ipv6',
      ])
      const adopting = {
        Name: 'adopting',
        Options: { 'com.docker.network.bridge.name': 'docker7' },
      }
      await compare(t, apis, '/networks/create', [adopting, ...all], async ({ Id }) => {
        const network = await direct.json<{
          Driver: string
          Options: object | null
          Labels: object | null
          ConfigOnly: boolean
          ConfigFrom: { Network: string }
          Ingress: boolean
          IPAM: { Driver: string; Config: { Subnet: string }[] | null }
        }>('GET', `/networks/${Id}`)
        await direct.call('DELETE', `/networks/${Id}`)
        const isPlain =
          network.Driver === 'bridge' &&
          Object.keys(network.Options ?? {}).every((name) => allowed.has(name)) &&
          !network.ConfigOnly &&
          network.ConfigFrom.Network === '' &&
          !network.Ingress &&
          network.IPAM.Driver === 'default' &&
          !(network.IPAM.Config ?? []).some(({ Subnet }) => /^(127|169\.254)\./.test(Subnet))
        return isPlain && !isReserved(network.Labels) ? undefined : JSON.stringify(network)
      })
    })

    await t.test('builds', async (t) => {
      const { Id } = await direct.json<{ Id: string }>('POST', '/containers/create', {
        Image: 'busybox',
      })
      const usual = await direct.json<Inspected>('GET', `/containers/${Id}/json`)
      await direct.call('DELETE', `/containers/${Id}`)
      const all = fc.sample(BUILD_QUERY, { numRuns: many(12), seed: SEED })
      const context = tarOf('Dockerfile', 'FROM busybox\nRUN true\n')
      const build = async (api: Api, query: string): Promise<readonly string[]> => {
        await api.call('POST', `/build?${query}`, context)
        const harm: string[] = []
        for (const { Id } of await direct.json<{ Id: string }[]>('GET', '/containers/json?all=1')) {
          const container = await direct.json<Inspected & { Name: string }>(
            'GET',
            `/containers/${Id}/json`,
          )
          if (container.Name === '/target') continue
          harm.push(...escapesOf(container, usual).filter((name) => BUILD_ESCAPES.has(name)))
          await direct.call('DELETE', `/containers/${Id}?force=1&v=1`)
        }
        return harm
      }
      const without = new Set<string>()
      for (const query of ['rm=0&forcerm=0&networkmode=host', ...all.slice(0, 3)])
        for (const name of await build(direct, query)) without.add(name)
      t.ok(without.size > 0, `without berth: ${[...without].join(', ')}`)
      for (const api of [through, strip])
        for (const query of all) t.strictSame(await build(api, query), [], query)
    })
  })

/** What the query of a build can set. */
const BUILD_ESCAPES = new Set([
  'namespaces of the host',
  'the network of the host',
  'CgroupParent',
  'SecurityOpt',
  'Ulimits',
])

const pair = (name: string, ...values: readonly string[]): fc.Arbitrary<string> =>
  fc.constantFrom(...values.map((value) => `${name}=${encodeURIComponent(value)}`))

/** A build that leaves its containers behind, so that they can be looked at. */
const BUILD_QUERY = fc
  .tuple(
    fc.constantFrom('rm=0&forcerm=0&nocache=1'),
    fc.array(
      fc.oneof(
        pair('networkmode', 'host', 'none', 'default', 'HOST', 'container:target'),
        pair('Networkmode', 'host'),
        pair('%6eetworkmode', 'host'),
        pair('cgroupparent', '/', '../x', ''),
        pair('memory', '0', '99999999999', '-1', '1e9'),
        pair('memswap', '-1'),
        pair('cpuquota', '0', '900000'),
        pair('shmsize', '99999999999', '0'),
        pair(
          'ulimits',
          '[{"Name":"rtprio","Soft":9,"Hard":9}]',
          '[{"name":"RTPRIO","soft":9,"Hard":9}]',
          '[]',
          '{',
        ),
        pair('securityopt', 'seccomp=unconfined'),
        pair('labels', '{"berth.tenant":"x"}'),
        pair('extrahosts', 'a:host-gateway'),
        pair('version', '1', '', '2'),
        pair('remote', 'http://127.0.0.1/x'),
      ),
      { minLength: 1, maxLength: 4 },
    ),
  )
  .map(([base, pairs]) => [base, ...pairs].join('&'))

/** One small file (POSIX.1-1988 ustar). */
const tarOf = (name: string, text: string): Buffer => {
  const block = Buffer.alloc(512)
  block.write(name)
  block.write('0000644\0' + '0000000\0' + '0000000\0', 100)
  block.write(
    [
      text.length.toString(8).padStart(11, '0'),
      '\0',
      '0'.repeat(11),
      '\0',
      ' '.repeat(8),
      '0',
    ].join(''),
    124,
  )
  block.write('ustar\x0000', 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([block, Buffer.alloc(512, text.padEnd(512, '\0')), Buffer.alloc(1024)])
}
