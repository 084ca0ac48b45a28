import { test } from 'tap'
import { decide } from '../../src/policy/decide.ts'
import { definePolicies, PROFILE_POLICIES } from '../../src/policy/effective.ts'
import { type Policy, withTerms } from '../../src/policy/policy.ts'
import { ROUTES, type RouteId } from '../../src/route/routes.ts'

const { dedicated, shared, open } = PROFILE_POLICIES
const policyOf = (options: object): Policy => definePolicies({ mine: options }).mine!

type Values = Readonly<Record<string, string | readonly string[]>>

const ask = (policy: Policy, id: RouteId, query: Values = {}) => {
  const route = ROUTES.find((one) => one.id === id)!
  const map = new Map(
    Object.entries(query).map(([key, value]) => [key, typeof value === 'string' ? [value] : value]),
  )
  const permit = decide(policy, route, map)
  return { ...permit, sent: Object.fromEntries(permit.query ?? map) }
}

const DENIED: readonly RouteId[] = [
  'plugin.pull',
  'plugin.create',
  'plugin.list',
  'plugin.set',
  'swarm.init',
  'swarm.join',
  'service.create',
  'service.update',
  'secret.create',
  'config.list',
  'node.update',
  'task.logs',
  'checkpoint.create',
  'checkpoint.list',
  'grpc.open',
  'session.open',
  'volume.update',
]

test('routes that rule the engine are refused, with a cure', async (t) => {
  for (const id of DENIED) {
    for (const policy of [dedicated, shared]) {
      t.throws(
        () => ask(policy, id),
        { code: 'POLICY_DENIED', message: new RegExp(`${id} \\(policy`) },
        id,
      )
    }
    t.doesNotThrow(() => ask(open, id), id)
  }
})

test('routes that work on what belongs to everybody are refused where there are others', async (t) => {
  for (const id of ['image.prune', 'build.prune', 'image.search'] as const) {
    t.throws(() => ask(shared, id), { code: 'POLICY_DENIED' }, id)
    t.doesNotThrow(() => ask(dedicated, id), id)
  }
})

test('all other routes are allowed', async (t) => {
  for (const { id } of ROUTES) {
    const resource = id.split('.')[0]
    if (
      ['swarm', 'service', 'node', 'task', 'secret', 'config', 'plugin', 'checkpoint'].includes(
        resource!,
      )
    )
      continue
    if (DENIED.includes(id)) continue
    t.doesNotThrow(() => ask(dedicated, id), id)
  }
})

test('the gRPC of an engine that grants builds nothing is open', async (t) => {
  const fenced = withTerms(dedicated, { buildsAreFenced: true })
  t.doesNotThrow(() => ask(fenced, 'grpc.open'))
  t.doesNotThrow(() => ask(fenced, 'session.open'))
})

test('where a policy says what the steps of a build would not keep, nothing is built', async (t) => {
  const BUILDING = ['build.start', 'grpc.open', 'session.open'] as const
  for (const options of [
    { networking: false },
    { runAs: 10001 },
    { onlyCapabilities: ['CHOWN'] },
    { onlyCapabilities: [] },
    { seccomp: '{}' },
    { apparmor: 'tight' },
  ]) {
    const option = Object.keys(options)[0]!
    const fenced = withTerms(policyOf(options), { buildsAreFenced: true })
    for (const id of BUILDING)
      for (const version of ['1', '2'])
        t.throws(
          () => ask(fenced, id, id === 'build.start' ? { version } : {}),
          { code: 'POLICY_DENIED', message: new RegExp(`${id}.*${option}.*Build elsewhere`) },
          `${id} ${option}`,
        )
    for (const id of BUILDING)
      t.doesNotThrow(() => ask(policyOf({ extends: 'open', ...options }), id), `${id} ${option}`)
    t.doesNotThrow(() => ask(fenced, 'build.prune'))
  }
  const opened = policyOf({ runAs: 1, rows: { 'route grpc.open': 'allow' } })
  t.doesNotThrow(() => ask(opened, 'grpc.open'), 'unless the operator says so')
})

test('without networking there is nothing to connect', async (t) => {
  const alone = policyOf({ networking: false })
  t.throws(() => ask(alone, 'network.connect'), { code: 'POLICY_DENIED' })
  t.throws(() => ask(alone, 'network.create'), { code: 'POLICY_DENIED' })
  t.doesNotThrow(() => ask(alone, 'network.list'))
})

test('the plan says what becomes of the body', async (t) => {
  t.match(ask(dedicated, 'container.create').plan, { kind: 'rewrite', cap: 4 << 20 })
  for (const id of [
    'exec.create',
    'exec.start',
    'network.create',
    'image.commit',
    'system.auth',
  ] as const) {
    t.match(ask(dedicated, id).plan, { kind: 'judge' }, id)
  }
  t.match(ask(dedicated, 'build.start').plan, { kind: 'stream' })
  t.match(ask(dedicated, 'image.load').plan, { kind: 'stream' })
  t.match(ask(dedicated, 'image.create', { fromImage: 'a' }).plan, { kind: 'none' })
  t.match(ask(dedicated, 'image.create', { fromSrc: '-' }).plan, { kind: 'stream' })
  t.match(ask(dedicated, 'container.start').plan, { kind: 'none' })
  t.match(ask(open, 'swarm.init').plan, { kind: 'stream' })
})

test('the plan judges by the policy that made it', async (t) => {
  const { plan } = ask(dedicated, 'exec.create')
  if (plan.kind !== 'judge') throw new Error('no plan to judge')
  let out = ''
  const body = plan.rules.begin({
    onOutput: (bytes) => {
      out += new TextDecoder().decode(bytes)
    },
  })
  body.write(new TextEncoder().encode('{"Cmd":["id"]}'))
  body.finish()
  t.equal(out, '{"Cmd":["id"]}')
})

test('queries that reach the host are refused by the name of their option', async (t) => {
  const refused = (id: RouteId, query: Values, message: RegExp): void => {
    for (const policy of [dedicated, shared]) {
      t.throws(() => ask(policy, id, { version: '2', ...query }), {
        code: 'POLICY_DENIED',
        message,
      })
    }
    t.doesNotThrow(() => ask(open, id, query))
  }
  refused('build.start', { networkmode: 'host' }, /build\.networkmode.*--network host/)
  refused('build.start', { cgroupparent: '/' }, /--cgroup-parent/)
  refused('build.start', { remote: 'http://10.0.0.1/' }, /build\.remote/)
  refused('build.start', { securityopt: ['seccomp=unconfined'] }, /--security-opt/)
  refused('build.start', { ulimits: '[{"Name":"rtprio","Soft":1}]' }, /ulimits/)
  refused('build.start', { ulimits: '[{"Name":"nofile","name":"rtprio"}]' }, /ulimits/)
  refused('image.create', { fromSrc: 'http://10.0.0.1/' }, /pull\.fromSrc/)
  refused('container.start', { checkpoint: 'x' }, /start\.checkpoint/)
  refused('container.start', { 'checkpoint-dir': '/' }, /checkpoint/)
  refused('container.top', { ps_args: '-o pid,args --sort x' }, /top\.ps_args/)
  refused('container.top', { ps_args: '-eo pid=x' }, /top\.ps_args/)
})

test('plain queries pass', async (t) => {
  const plain: readonly (readonly [RouteId, Values])[] = [
    ['container.top', { ps_args: 'aux' }],
    ['container.top', { ps_args: '-eo pid,comm' }],
    ['container.logs', { follow: '1', tail: 'all' }],
    ['image.create', { fromImage: 'busybox', tag: 'latest' }],
    ['build.start', { version: '2', labels: 'null', ulimits: 'null', buildargs: 'null' }],
    ['build.start', { t: ['a:1', 'b:2'], version: '2', networkmode: 'default', nocache: '1' }],
    ['build.start', { version: '2', ulimits: '[{"Name":"nofile","Soft":1,"Hard":2}]' }],
  ]
  for (const [id, query] of plain) {
    const asLists = Object.entries(query).map(([key, value]) => [key, [value].flat()])
    t.strictSame(ask(dedicated, id, query).sent, Object.fromEntries(asLists), id)
  }
})

test('the classic builder has the limits of the plan, and none on a shared engine', async (t) => {
  const planned = withTerms(dedicated, { memory: 1n << 30n, nanoCpus: 2_000_000_000n })
  t.match(ask(planned, 'build.start', { memory: '0' }).sent, {
    memory: ['1073741824'],
    memswap: ['1073741824'],
    cpuquota: ['200000'],
    cpuperiod: ['100000'],
  })
  t.match(ask(planned, 'build.start', { memory: '9000000' }).sent, { memory: ['9000000'] })
  t.strictSame(ask(planned, 'build.start', { version: '2' }).sent, { version: ['2'] })
  t.throws(() => ask(shared, 'build.start', {}), { message: /classic builder/ })
  t.throws(() => ask(shared, 'build.start', { version: '1' }), { message: /classic builder/ })
})

test('reserved labels come in by no query', async (t) => {
  t.match(
    ask(dedicated, 'build.start', { labels: '{"a":"b","traefik.x":"y","berth.y":""}' }).sent,
    {
      labels: ['{"a":"b"}'],
    },
  )
  for (const change of [
    'LABEL traefik.enable=true',
    'label "TRAEFIK.x"=1',
    'LABEL $A=b',
    'ENV a=b\nLABEL berth.x=1',
  ]) {
    t.throws(
      () => ask(dedicated, 'image.commit', { container: 'c', changes: [change] }),
      { code: 'POLICY_DENIED' },
      change,
    )
  }
  t.doesNotThrow(() =>
    ask(dedicated, 'image.commit', { changes: ['LABEL a=b', 'CMD ["x"]', 'ENV A=B'] }),
  )
})

test('top shows columns by which the engine cannot take another for a PID', async (t) => {
  const top = (args: string) => () => ask(dedicated, 'container.top', { ps_args: args })
  for (const args of [
    '-eo lstart,uid,gid,ppid,pid,args',
    '-o comm,pid',
    '-o pid,args,pid',
    '-eo start,pid',
    '-o label,pid',
    'o args,pid',
    '-o user,args',
    '-eo pid,comm --sort=pid',
    '-eO lstart',
    '-O lstart',
    '--format=lstart,pid',
    '-eo pid:9',
    '-o\tpid',
    '-o  pid',
    '-e -o lstart,pid',
    '-eolstart,pid',
    'm',
    '-T',
    '-L',
  ])
    t.throws(top(args), { code: 'POLICY_DENIED', message: /top\.ps_args/ }, args)
  for (const args of [
    '-ef',
    'aux',
    'auxww',
    '-aux',
    '-eo pid,ppid,user,comm,args',
    '-o user,uid,ppid,pid,stime,cmd',
    '-eo pid,lstart,cmd',
    'o pid,comm',
    '-o pid',
  ])
    t.doesNotThrow(top(args), args)
})

test('changes of a commit are of a kind that reads one way and expands nothing', async (t) => {
  const commit = (...changes: string[]) => {
    const query = { container: 'c', changes }
    return () => ask(dedicated, 'image.commit', query)
  }
  for (const change of [
    'LABEL tra\\efik.enable=true ber\\th.tenant=x',
    `LABEL "tra"efi'k'.enable=true`,
    'LABEL "traefik.enable"=true',
    'LABEL a=b traefik.enable=true',
    'LABEL a=b\u00a0traefik.enable=true',
    'LABEL a="b" \'berth.tenant\'=x',
    'LABEL a="b\\" traefik.enable=\\"c"',
    'LABEL traefik.enable true',
    'LABEL $a=b',
    'LABEL a=b \\',
    'ENV A=$A$A$A',
    'ENV A="$A"',
    "ENV A='$A'",
    'ENV A=b\\',
    'ENV A b',
    'CMD echo \\',
    'CMD echo \\ \t',
    'CMD x\\\r',
    'CMD ["x"]\rLABEL a=b',
    'USER $A',
    'WORKDIR /$A',
    'VOLUME /$A$A',
    'EXPOSE 1-65535',
    'EXPOSE $A',
    '# escape=`',
    '\ufeffCMD x',
    'FROM busybox',
    'ENV a=b\nLABEL berth.x=1',
    'ONBUILD LABEL traefik.enable=true',
  ])
    t.throws(commit('CMD x', change), { code: 'POLICY_DENIED', message: /commit\.changes/ }, change)
  t.throws(
    () => ask(dedicated, 'image.create', { fromSrc: '-', changes: ['ENV A=$A'] }),
    { code: 'POLICY_DENIED', message: /pull\.changes/ },
    'nor of an import',
  )
  for (const change of [
    'CMD ["sh", "-c", "echo \\"$HOME\\""]',
    'cmd echo $HOME',
    'ENTRYPOINT ["/bin/sh"]',
    'ENV A=b C="d e" F=\'g "h"\' I=',
    'LABEL a=b "com.example.vendor"="ACME Inc." version=1.0',
    'LABEL berth.http=a:80',
    'EXPOSE 80 443/tcp 53/UDP',
    'HEALTHCHECK --interval=5s CMD wget -q localhost',
    'ONBUILD RUN make',
    'USER nobody',
    'VOLUME ["/data"]',
    'WORKDIR /srv',
    'CMD ["x"]\n\nENV a=b',
  ])
    t.strictSame(commit(change)().sent.changes, [change], change)
  t.doesNotThrow(() => ask(open, 'image.commit', { changes: ['ENV A=$A'] }))
  for (const change of ['LABEL berth.tenant=x', 'LABEL $A=b', 'ONBUILD LABEL berth.x=1'])
    t.throws(
      () => ask(open, 'image.commit', { changes: [change] }),
      { code: 'POLICY_DENIED' },
      `open: ${change}`,
    )
})

test('names of containers are of a length that can be named again', async (t) => {
  for (const id of ['container.create', 'container.rename'] as const) {
    t.doesNotThrow(() => ask(dedicated, id, { name: 'a'.repeat(255) }))
    t.throws(() => ask(dedicated, id, { name: 'a'.repeat(256) }), {
      code: 'POLICY_DENIED',
      message: /\.name = .*--name/,
    })
  }
})

test('what a query names is told, to be resolved', async (t) => {
  t.match(ask(dedicated, 'image.commit', { container: 'c', repo: 'mine' }).references, [
    { kind: 'container', name: 'c' },
    { kind: 'tag', name: 'mine' },
  ])
  t.match(
    ask(dedicated, 'build.start', { t: ['a', 'b'], session: 's', networkmode: 'container:x' })
      .references,
    [
      { kind: 'tag', name: 'a' },
      { kind: 'tag', name: 'b' },
      { kind: 'session', name: 's' },
      { kind: 'container', name: 'x' },
    ],
  )
})

test('audit refuses neither routes nor queries', async (t) => {
  const audit = policyOf({ mode: 'audit' })
  t.doesNotThrow(() => ask(audit, 'swarm.init'))
  t.match(ask(audit, 'build.start', { networkmode: 'host' }).sent, { networkmode: ['host'] })
})

test('an operator can open a route and close a row', async (t) => {
  const mine = policyOf({ rows: { 'route swarm': 'allow', 'top.ps_args': 'deny' } })
  t.doesNotThrow(() => ask(mine, 'swarm.init'))
  t.throws(() => ask(mine, 'container.top', { ps_args: 'aux' }), { code: 'POLICY_DENIED' })
})

test('images are pulled only from where they may come from', async (t) => {
  const narrow = policyOf({ images: ['docker.io/library/*', 'r.example.com/*:stable'] })
  const pulls = (fromImage: string, tag = ''): boolean => {
    try {
      ask(narrow, 'image.create', { fromImage, tag })
      return true
    } catch {
      return false
    }
  }
  t.ok(pulls('busybox'))
  t.ok(pulls('index.docker.io/library/busybox', '1'))
  t.ok(pulls('r.example.com/a/b', 'stable'))
  t.notOk(pulls('r.example.com/a/b', 'latest'))
  t.notOk(pulls('r.example.com/a/b:stable', 'latest'), 'the tag wins, as it does in the engine')
  t.notOk(pulls('r.example.com/a/b'), 'without a tag, the engine pulls them all')
  t.notOk(pulls('evil/busybox'))
  t.notOk(pulls('localhost/library/busybox'))
  t.notOk(pulls('evil.example.com/docker.io/library/busybox'))
})

test('a pull that may not be is refused, also where values are left out instead', async (t) => {
  const lax = policyOf({ images: ['docker.io/library/*'], onViolation: 'strip' })
  t.throws(() => ask(lax, 'image.create', { fromImage: 'evil/busybox' }), {
    code: 'POLICY_DENIED',
    message: /evil\/busybox does not come from a place that is allowed here/,
  })
  t.doesNotThrow(() => ask(lax, 'image.create', { fromImage: 'busybox' }))
  const audit = policyOf({ images: [], onViolation: 'strip', mode: 'audit' })
  t.doesNotThrow(() => ask(audit, 'image.create', { fromImage: 'evil/busybox' }))
})
