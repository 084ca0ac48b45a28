/** What a tenant plants first and uses second: a symlink, a passwd, a subnet, a label, a name. It gets him no further. */
import { test } from 'tap'
import { docker, type Ran } from '../../fixtures/docker.ts'
import type { Release } from '../../fixtures/engine.ts'
import { createApi } from '../support/api.ts'
import { fence, leavings, startFenced } from '../support/fenced.ts'
import { startFront } from '../support/front.ts'
import { answerWith, RecordingEngine } from '../support/recording-engine.ts'

const run = (host: string, ...args: string[]): Promise<Ran> =>
  docker(host, ['run', '--rm', '--init', ...args])

test('a symlink in a confined path leads nowhere', async (t) => {
  const { url, engine } = await startFenced(t)
  const marker = await engine.inside('cat', '/etc/hostname')
  const plant = (link: string) => run(url, '-v', '/home/me/app:/v', 'busybox', 'sh', '-c', link)
  t.match(
    await plant(
      'ln -s / /v/root; ln -s /etc /v/etc; ln -s ../../../../.. /v/up; ln -s ../other /v/beside; ls /v',
    ),
    {
      code: 0,
      stdout: 'beside\netc\nroot\nup\n',
    },
  )
  for (const path of ['root', 'root/etc', 'etc', 'up', 'up/etc', 'beside', 'root/var/run']) {
    for (const mount of [
      ['-v', `/home/me/app/${path}:/x`],
      ['--mount', `type=volume,source=berth-files,target=/x,volume-subpath=home/me/app/${path}`],
    ]) {
      const { code, stdout, stderr } = await run(
        url,
        ...mount,
        'busybox',
        'sh',
        '-c',
        'ls -A /x; cat /x/hostname /x/etc/hostname',
      )
      t.notMatch(stdout, marker.trim(), `${mount.join(' ')} shows the host: ${stdout}${stderr}`)
      t.notMatch(stdout, /shadow|docker\.sock|\bproc\b/)
      t.ok(code !== 0, `${mount.join(' ')}: ${stdout}${stderr}`)
    }
  }
  // the volume itself is his, with all that he planted, and symlinks in it are followed inside the container only
  const own = await run(
    url,
    '-v',
    'berth-files:/x',
    'busybox',
    'cat',
    '/x/home/me/app/root/etc/hostname',
  )
  t.notMatch(own.stdout, marker.trim())
})

test('a passwd of his own makes nobody root', async (t) => {
  const { engine } = await startFenced(t)
  const url = await fence(t, engine, 'profile: humble\npolicies: { humble: { runAs: 10001 } }')
  const planted = `FROM busybox
RUN echo 'nobody0:x:0:0::/:/bin/sh' >>/etc/passwd && echo 'group0:x:1234:0::/:/bin/sh' >>/etc/passwd
RUN echo 'disk:x:6:group0' >>/etc/group && chmod 4755 /bin/busybox
USER nobody0
`
  for (const DOCKER_BUILDKIT of ['0', '1'])
    t.match(
      await docker(url, ['build', '-'], { input: planted, env: { DOCKER_BUILDKIT } }),
      { code: 1, stderr: /runAs/ },
      'no build would keep to it',
    )
  const built = await docker(engine, ['build', '-t', 'planted', '-'], { input: planted })
  t.equal(built.code, 0, built.stderr)
  for (const user of [
    [],
    ['-u', 'nobody0'],
    ['-u', '0'],
    ['-u', 'root'],
    ['-u', '00'],
    ['-u', '0:0'],
    ['-u', '+0'],
    ['-u', '10001:0'],
  ]) {
    const { stdout, stderr } = await run(
      url,
      ...user,
      'planted',
      'sh',
      '-c',
      'grep -E "^(Uid|Gid|NoNewPrivs)" /proc/self/status',
    )
    t.match(
      stdout,
      /Uid:\t10001\t10001\t10001\t10001\nGid:\t10001\t10001\t10001\t10001\nNoNewPrivs:\t1/,
      `${user}: ${stderr}`,
    )
  }
  const groups = ['grep', '-E', '^(Uid|Gid|Groups)', '/proc/self/status']
  for (const id of ['1234', '1235']) {
    const own = `Uid:\t${id}\t${id}\t${id}\t${id}\nGid:\t${id}\t${id}\t${id}\t${id}\n`
    const other = await run(url, '-u', id, 'planted', ...groups)
    t.match(other.stdout, own, 'a number of his own stays, and brings no group of root')
    t.match(other.stdout, new RegExp(`^Groups:\\s*(${id})?\\s*$`, 'm'), 'nor any that he planted')
  }
  await docker(url, ['run', '-d', '--init', '--name', 'target', 'planted', 'sleep', '1000'])
  for (const user of [[], ['-u', 'nobody0'], ['-u', 'root'], ['-u', '0']]) {
    const { stdout } = await docker(url, ['exec', ...user, 'target', 'id', '-u'])
    t.equal(stdout, '10001\n', `exec ${user}`)
  }
  t.match(await docker(url, ['exec', '-u', '1234', 'target', ...groups]), {
    stdout: /Gid:\t1234\t1234\t1234\t1234\nGroups:\s*(1234)?\s*$/,
  })
})

test('a network in the place of another is refused', async (t) => {
  const { engine, direct, through } = await startFenced(t)
  const { Id } = (await direct.json<{ Id: string; Name: string }[]>('GET', '/networks')).find(
    ({ Name }) => Name === 'host',
  )!
  const body = (HostConfig: object, EndpointsConfig?: object) => ({
    Image: 'busybox',
    Cmd: ['true'],
    HostConfig,
    ...(EndpointsConfig && { NetworkingConfig: { EndpointsConfig } }),
  })
  for (const name of [Id, Id.slice(0, 12), Id.slice(0, 5)]) {
    for (const wanted of [
      body({ NetworkMode: name }),
      body({ NetworkMode: 'bridge' }, { [name]: {} }),
      body({ NetworkMode: name }, { [name]: {} }),
    ]) {
      const { status, body: said } = await through.call('POST', '/containers/create', wanted)
      t.equal(status, 403, JSON.stringify(wanted))
      t.match(said.toString(), /network of the engine's host/)
    }
    const build = await through.call(
      'POST',
      `/build?version=1&networkmode=${name}`,
      Buffer.alloc(1024),
    )
    t.match(build, { status: 403 }, 'a build either')
  }
  const narrow = await fence(
    t,
    engine,
    'profile: mine\npolicies: { mine: { subnetsInUse: [10.80.0.0/16] } }',
  )
  for (const subnet of [
    '10.80.3.0/24',
    '10.0.0.0/8',
    '127.1.0.0/16',
    '169.254.169.0/24',
    '::ffff:127.0.0.0/104',
  ])
    t.match(
      await docker(narrow, ['network', 'create', '--subnet', subnet, 'planted']),
      { code: 1, stderr: /network\.IPAM\.Config\[0\]/ },
      subnet,
    )
  t.match(await docker(narrow, ['network', 'create', '--subnet', '10.81.0.0/16', 'his']), {
    code: 0,
  })
})

test('what others made with more rights is not handed on', async (t) => {
  const { engine, url, through } = await startFenced(t)
  const operator = (...args: string[]) =>
    docker(engine, ['run', '-d', '--init', ...args, 'busybox', 'sleep', '1000'])
  await operator('--name', 'net', '--network', 'host')
  await operator('--name', 'pid', '--pid', 'host')
  await operator('--name', 'ipc', '--ipc', 'host')
  await operator('--name', 'files', '-v', '/:/h')
  await docker(engine, [
    'volume',
    'create',
    '-o',
    'type=none',
    '-o',
    'o=bind',
    '-o',
    'device=/etc',
    'etc',
  ])
  await operator('--name', 'volumes', '-v', 'etc:/e')
  for (const [flags, names] of [
    [['--network', 'container:net'], /NetworkMode names "net".*NetworkMode = "host"/],
    [['--pid', 'container:pid'], /PidMode names "pid".*PidMode = "host"/],
    [['--ipc', 'container:ipc'], /IpcMode names "ipc".*IpcMode = "host"/],
    [['--volumes-from', 'files'], /VolumesFrom names "files".*\/ of the engine's host/],
    [['--volumes-from', 'volumes'], /VolumesFrom names "etc".*DriverOpts/],
    [['-v', 'etc:/e'], /Binds names "etc".*DriverOpts/],
    [['--mount', 'type=volume,source=etc,target=/e'], /Mounts names "etc".*DriverOpts/],
  ] as const)
    t.match(
      await run(url, ...flags, 'busybox', 'true'),
      { code: 125, stderr: names },
      flags.join(' '),
    )

  await docker(url, [
    'run',
    '-d',
    '--init',
    '--name',
    'own',
    '-v',
    'mine:/m',
    'busybox',
    'sleep',
    '1000',
  ])
  const handed = await run(
    url,
    '--network',
    'container:own',
    '--pid',
    'container:own',
    '--volumes-from',
    'own',
    'busybox',
    'ls',
    '-d',
    '/m',
  )
  t.match(handed, { code: 0, stdout: '/m\n' }, 'his own are')
  const gone = await through.call('POST', '/containers/create', {
    Image: 'busybox',
    HostConfig: { PidMode: 'container:nobody' },
  })
  t.not(gone.status, 201)
})

for (const release of ['current', 'old'] satisfies Release[])
  test(`a network that leads to one of the host is joined only where it is offered (${release} engine)`, async (t) => {
    const { engine, url, direct } = await startFenced(t, { release })
    const create = (...args: string[]) => docker(engine, ['network', 'create', ...args])
    const run = (host: string, ...args: string[]) =>
      docker(host, ['run', '--detach', '--init', ...args, 'busybox', 'sleep', '1000'])
    await create('-o', 'com.docker.network.bridge.name=lan0', 'lan')
    const { Id } = await direct.json<{ Id: string }>('GET', '/networks/lan')
    await run(engine.url, '--name', 'gate', '--network', 'lan')
    await run(engine.url, '--name', 'behind', '--network', 'container:gate')
    await run(engine.url, '--name', 'both')
    await docker(engine, ['network', 'connect', 'lan', 'both'])
    await run(url, '--name', 'own')
    const refusedTo = async (host: string, why: RegExp, ...args: readonly string[]) => {
      const { code, stderr } = await docker(host, args)
      t.not(code, 0, args.join(' '))
      t.match(stderr.replaceAll('\n', ' '), why, args.join(' '))
    }
    for (const name of ['lan', Id, Id.slice(0, 12)]) {
      const why = /names "[a-z0-9]+".*that network has network\.Options.*bridge\.name/
      await refusedTo(url, why, 'run', '--rm', '--network', name, 'busybox', 'true')
      await refusedTo(url, why, 'network', 'connect', name, 'own')
    }
    for (const name of ['gate', 'behind', 'both'])
      await refusedTo(
        url,
        /NetworkMode names "lan".*network\.Options/,
        ...['run', '--rm', '--network', `container:${name}`, 'busybox', 'true'],
      )

    const offering = await fence(
      t,
      engine,
      'profile: mine\npolicies: { mine: { sharedNetworks: [la*] } }',
    )
    for (const name of ['lan', 'container:gate', 'container:behind']) {
      const { code, stderr } = await run(offering, '--network', name)
      t.equal(code, 0, `${name} where it is offered: ${stderr}`)
    }
    t.match(await docker(offering, ['network', 'connect', 'lan', 'own']), { code: 0 })
  })

test('networks that lead nowhere else are joined by whatever name', async (t) => {
  const defaults = 'bridge=com.docker.network.bridge.host_binding_ipv4=127.0.0.1'
  const flags = ['--default-network-opt', defaults]
  const { engine, url, direct } = await startFenced(t, { flags })
  const mtu = ['-o', 'com.docker.network.driver.mtu=1400']
  await docker(engine, ['network', 'create', 'plain'])
  t.match(await docker(url, ['network', 'create', ...mtu, '--ipv6', 'own']), { code: 0 })
  t.match(await docker(url, ['network', 'create', '--internal', 'inner']), { code: 0 })
  const all = await direct.json<{ Id: string; Name: string }[]>('GET', '/networks')
  const joinable = all.filter(({ Name }) => Name !== 'host')
  t.equal(joinable.length, 5)
  await docker(url, ['run', '--detach', '--init', '--name', 'box', 'busybox', 'sleep', '1000'])
  for (const { Id, Name } of joinable)
    for (const name of [Name, Id]) {
      t.match(await run(url, '--network', name, 'busybox', 'true'), { code: 0 }, Name)
      if (['none', 'bridge'].includes(Name)) continue
      t.match(await docker(url, ['network', 'connect', name, 'box']), { code: 0 }, Name)
      t.match(await run(url, '--network', 'container:box', 'busybox', 'true'), { code: 0 }, Name)
      t.match(await docker(url, ['network', 'disconnect', name, 'box']), { code: 0 }, Name)
    }
})

test('a container to which many ways lead is looked at once', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { profile: 'dedicated' })
  const depth = 12
  engine.answer = async (asked) => {
    const level = Number(/\/containers\/(\d+)[ab]\/json$/.exec(asked.request.target)?.[1] ?? depth)
    const next = (side: string) => (level < depth ? `container:${level + 1}${side}` : '')
    const text = JSON.stringify({ HostConfig: { PidMode: next('a'), IpcMode: next('b') } })
    const head = `Content-Type: application/json\r\nContent-Length: ${text.length}`
    await answerWith(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${text}`)(asked)
  }
  const api = createApi(url)
  t.teardown(() => api.close())
  const HostConfig = { PidMode: 'container:1a' }
  t.match(await api.call('POST', '/containers/create', { Image: 'busybox', HostConfig }), {
    status: 200,
  })
  const looked = engine.requests.filter(({ method }) => method === 'GET')
  t.equal(looked.length, 2 * depth - 1)
})

test('labels of reserved families never arrive, by whatever way', async (t) => {
  const { engine, direct } = await startFenced(t)
  const url = await fence(t, engine)
  const label = (...all: string[]) => all.flatMap((one) => ['--label', one])
  const labels = label('berth.tenant=other', 'Traefik.enable=true', 'berth.http=a:80', 'mine=1')
  await docker(url, ['run', '-d', '--name', 'box', ...labels, 'busybox', 'true'])
  await docker(url, ['volume', 'create', ...label('berth.tenant=other', 'mine=1'), 'vol'])
  await docker(url, ['network', 'create', ...label('berth.tenant=other', 'mine=1'), 'net'])
  await docker(url, ['commit', '--change', 'LABEL berth.tenant=other', 'box', 'image'])
  const labelsOf = async (path: string) => {
    const found = await direct.json<{ Labels?: object; Config?: { Labels: object } }>('GET', path)
    return found.Labels ?? found.Config?.Labels
  }
  t.strictSame(await labelsOf('/containers/box/json'), { 'berth.http': 'a:80', mine: '1' })
  t.strictSame(await labelsOf('/volumes/vol'), { mine: '1' })
  t.strictSame(await labelsOf('/networks/net'), { mine: '1' })
  for (const change of [
    'LABEL tra\\efik.enable=true ber\\th.tenant=other',
    `LABEL "tra"efi'k'.enable=true`,
    'ENV A=$PATH$PATH',
  ])
    t.match(
      await docker(url, ['commit', '--change', change, 'box', 'image']),
      { code: 1, stderr: /commit\.changes\[0\]/ },
      change,
    )
  t.match(await docker(url, ['image', 'inspect', 'image']), { code: 1 }, 'the commit was refused')
  const changes = [
    'CMD ["sh", "-c", "echo $A"]',
    'ENV A=b',
    'LABEL a="b c" "d"=e',
    'EXPOSE 80 53/udp',
    'WORKDIR /tmp',
  ].flatMap((change) => ['--change', change])
  t.match(await docker(url, ['commit', ...changes, 'box', 'image']), { code: 0 })
  t.match(await direct.json('GET', '/images/image/json'), {
    Config: {
      Cmd: ['sh', '-c', 'echo $A'],
      Env: ['PATH=/bin', 'A=b'],
      Labels: { a: 'b c', d: 'e' },
      ExposedPorts: { '80/tcp': {}, '53/udp': {} },
      WorkingDir: '/tmp',
    },
  })
})

test('ports that an image exposes are counted where all of them are published', async (t) => {
  const fenced = await startFenced(t)
  const { url, through, direct } = fenced
  const exposed = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`${n + 1}/tcp`, {}]))
  await direct.json('POST', '/containers/create?name=src', { Image: 'busybox' })
  for (const [repo, count] of [
    ['some', 2],
    ['many', 129],
  ] as const)
    await through.json('POST', `/commit?container=src&repo=${repo}`, {
      ExposedPorts: exposed(count),
    })
  const before = await leavings(fenced)
  const says = /HostConfig\.PublishAllPorts.*expose 129 ports, where 128 are allowed.*without -P/s
  t.match(await docker(url, ['create', '-P', 'many']), { code: 1, stderr: says })
  const body = { Image: 'some', ExposedPorts: exposed(129), HostConfig: { PublishAllPorts: true } }
  const { status, body: said } = await through.call('POST', '/containers/create', body)
  t.match([status, said.toString()], [403, says], 'what the request exposes is as good')
  t.strictSame(await leavings(fenced), before, 'nothing is left behind')
  t.match(await docker(url, ['create', 'many']), { code: 0 }, 'exposed is not published')
  t.match(await docker(url, ['run', '-d', '-P', '--name', 'few', 'some', 'sleep', '99']), {
    code: 0,
  })
  t.match(await docker(url, ['port', 'few']), { code: 0, stdout: /^1\/tcp -> .*2\/tcp -> /s })
})

for (const release of ['current', 'old'] satisfies Release[])
  test(`what no thing can be called is refused before an engine is asked about it (${release} engine)`, async (t) => {
    const { through } = await startFenced(t, { release })
    const places: ((name: string) => object)[] = [
      (name) => ({ HostConfig: { NetworkMode: name } }),
      (name) => ({ HostConfig: { PidMode: `container:${name}` } }),
      (name) => ({ HostConfig: { VolumesFrom: [name] } }),
      (name) => ({ NetworkingConfig: { EndpointsConfig: { [name]: {} } } }),
    ]
    for (const place of places) {
      for (const name of ['.', '..', '/', '/box', 'a/../box', 'a//b', 'box/']) {
        const body = { Image: 'busybox', ...place(name) }
        const answer = await through.call('POST', '/containers/create', body)
        t.match([answer.status, answer.body.toString()], [400, / is not the name of a /], name)
      }
      for (const name of ['\0', '%2e%2e', 'a b', 'ü', 'a\nb', 'a'.repeat(300), 'ab'.repeat(32)]) {
        const body = { Image: 'busybox', ...place(name) }
        const { status } = await through.call('POST', '/containers/create', body)
        t.ok(status < 500, `${status} ${JSON.stringify(body)}`)
      }
    }
  })
