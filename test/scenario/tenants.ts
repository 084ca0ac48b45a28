/** Two tenants with an engine each behind one berth: every way in leads to one's own, and no wrong one to any. */
import { execFileSync } from 'node:child_process'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'tap'
import { docker, type Ran } from '../../fixtures/docker.ts'
import { startEngine } from '../../fixtures/engine.ts'
import { mintKey } from '../../src/tenant/key.ts'
import { nameHosts } from '../support/hosts.ts'
import { RecordingEngine } from '../support/recording-engine.ts'
import { startRedis } from '../support/redis.ts'
import { openTenancy, type Teardown, type Tenancy } from '../support/tenancy.ts'

const DOMAIN = 'berth.test'
const LISTEN = ['tcp://127.0.0.1:0', 'tls://127.0.0.1:0'] as const

const portOf = (url: string): string => new URL(url.replace(/^\w+/, 'http')).port

/** A berth with a TCP and a TLS listener, under the names of DOMAIN. */
const startHarbour = async (t: Teardown, tenancy: Tenancy, args: readonly string[] = []) => {
  const berth = await tenancy.serve({ listen: LISTEN, args: ['--domain', DOMAIN, ...args] })
  const [tcp, tls] = berth.urls.map(portOf) as [string, string]
  nameHosts(t, [DOMAIN])
  return { berth, tcp, tls }
}

const ID = ['info', '--format', '{{.ID}}']

test('each way in leads to the engine of whoever comes', async (t) => {
  const [first, second] = await Promise.all([startEngine(), startEngine({ busybox: false })])
  t.teardown(() => Promise.all([first.stop(), second.stop()]))
  const tenancy = await openTenancy(t)
  const hostKey = {}
  const made = JSON.parse(
    await tenancy.order(
      ...[
        'tenant',
        'add',
        'ann',
        '--endpoint',
        first.url,
        '--policy',
        'open',
        '--host-key',
        '--json',
      ],
    ),
  )
  t.match(made, { id: /^[a-z2-7]{16}$/, name: 'ann', key: /^[a-z2-7]{26}$/ })
  const ben = await tenancy.add({ name: 'ben', endpoint: second.url, hostKey })
  const { tcp, tls } = await startHarbour(t, tenancy)
  const tenants = [
    { name: 'ann', key: made.key as string, engine: first },
    { name: 'ben', key: ben.key, engine: second },
  ]
  nameHosts(
    t,
    tenants.flatMap(({ key }) => [`${key}.${DOMAIN}`]),
  )

  const { env: bySni } = JSON.parse(
    await tenancy.order(
      ...['context', 'ann', '--host-key', '--key', made.key, '--address', `tls://${DOMAIN}:${tls}`],
      ...['--json', '--out', join(tenancy.state, 'sni')],
    ),
  )
  const { DOCKER_HOST: _, ...secure } = bySni

  for (const { name, key, engine } of tenants) {
    const expected = await docker(engine, ID)
    t.equal(expected.code, 0)
    const reaches = async (way: string, ran: Promise<Ran>) => t.strictSame(await ran, expected, way)
    const onTcp = `tcp://${DOMAIN}:${tcp}`
    const onTls = `tcp://${DOMAIN}:${tls}`
    const bearer = { DOCKER_CUSTOM_HEADERS: `Authorization=Bearer ${key}` }
    const header = { DOCKER_CUSTOM_HEADERS: `X-Berth-Key=${key}` }

    await reaches('a key in the host name', docker(`tcp://${key}.${DOMAIN}:${tcp}`, ID))
    await reaches(
      'a key in the host name, over TLS',
      docker(`tcp://${key}.${DOMAIN}:${tls}`, ID, { env: secure }),
    )
    await reaches(
      'a key in capitals',
      docker(`tcp://${key.toUpperCase()}.${DOMAIN}:${tls}`, ID, { env: secure }),
    )
    await reaches('X-Berth-Key', docker(onTcp, ID, { env: header }))
    await reaches('Authorization: Bearer', docker(onTcp, ID, { env: bearer }))
    await reaches('a header over TLS', docker(onTls, ID, { env: { ...secure, ...bearer } }))

    const created = await tenancy.order(
      ...['context', name, '--address', `tls://${DOMAIN}:${tls}`, '--create'],
      ...['--out', join(tenancy.state, name)],
    )
    t.match(created, /tried: .* answers/)
    await reaches('a certificate in a docker context', docker('', ['--context', name, ...ID]))
  }

  await t.test('builds find their tenant by SNI and by certificate', async (t) => {
    const context = t.testdir({
      Dockerfile: 'FROM busybox\nCOPY word /word\nRUN cat /word\n',
      word: 'hello from a context',
      'compose.yaml':
        'services:\n  job:\n    build: .\n    command: cat /word\n    network_mode: none\n',
    })
    const build = ['build', '--no-cache', '--progress', 'plain', context]
    const named = await docker('', build, { env: bySni })
    t.match(named, { code: 0, stderr: 'hello from a context' })
    const byCertificate = await docker('', ['--context', 'ann', ...build])
    t.match(byCertificate, { code: 0, stderr: 'hello from a context' })

    const up = ['compose', '-p', 'sni', '-f', join(context, 'compose.yaml'), 'up', '--build']
    const composed = await docker('', up, { env: bySni })
    t.match(composed, { code: 0, stdout: 'hello from a context' })
    const certified = await docker('', ['--context', 'ann', ...up])
    t.match(certified, { code: 0, stdout: 'hello from a context' })

    const files = join(tenancy.state, 'ann')
    const remotes = {
      sni: [`cacert=${files}/ca.pem`, `${made.key}.${DOMAIN}`],
      certificate: [`cacert=${files}/ca.pem,cert=${files}/cert.pem,key=${files}/key.pem`, DOMAIN],
    } as const
    for (const [name, [options, host]] of Object.entries(remotes)) {
      const create = ['buildx', 'create', '--name', name, '--driver', 'remote']
      await docker('', [...create, '--driver-opt', options, `tcp://${host}:${tls}`])
      const built = await docker('', ['buildx', '--builder', name, ...build])
      t.match(built, { code: 0, stderr: 'hello from a context' }, `buildx --driver remote: ${name}`)
    }

    const env = { DOCKER_CUSTOM_HEADERS: `X-Berth-Key=${made.key}` }
    const nameless = await docker(`tcp://${DOMAIN}:${tcp}`, build, { env })
    t.match(nameless, { code: 1, stderr: /berth: who are you\?.*TLS with a certificate/ })
  })
})

test('whoever is not known is told so by docker, and reaches no engine', async (t) => {
  const engine = await RecordingEngine.start(t)
  const tenancy = await openTenancy(t)
  const endpoint = engine.url
  const hostKey = {}
  const ann = await tenancy.add({ name: 'ann', endpoint, hostKey })
  const ben = await tenancy.add({ name: 'ben', endpoint, hostKey })
  const shy = await tenancy.add({ name: 'shy', endpoint })
  const far = await tenancy.add({ name: 'far', endpoint, hostKey: { cidrs: ['192.0.2.0/24'] } })
  const late = await tenancy.add({ name: 'late', endpoint, expiresAt: Date.now() - 1 })
  const old = await tenancy.add({ name: 'old', endpoint })
  await tenancy.registry.rotate('old', { overlap: 0 })
  const off = await tenancy.add({ name: 'off', endpoint })
  await tenancy.registry.disable('off')
  const unknown = mintKey()
  const { tcp } = await startHarbour(t, tenancy)
  nameHosts(
    t,
    [unknown, ann.key, shy.key, far.key].map((key) => `${key}.${DOMAIN}`),
  )

  interface Attempt {
    readonly who: string
    readonly host?: string
    readonly key?: string
    readonly says: RegExp
    readonly status?: number
  }
  const attempts: readonly Attempt[] = [
    { who: 'nobody', says: /send a key/ },
    { who: 'a wrong key', key: unknown, says: /not known/ },
    { who: 'a wrong key in the host name', host: unknown, says: /not known/ },
    { who: 'an expired key', key: late.key, says: /expired/ },
    { who: 'a revoked key', key: old.key, says: /not known/ },
    { who: 'keys of two tenants', host: ann.key, key: ben.key, says: /different tenants/ },
    { who: 'a good key and a wrong one', host: unknown, key: ann.key, says: /not known/ },
    { who: 'a key that may not be in a host name', host: shy.key, says: /may not put/ },
    { who: 'a host key from elsewhere', host: far.key, says: /not from here/ },
    { who: 'a disabled tenant', key: off.key, says: /disabled/, status: 403 },
  ]
  for (const { who, host, key, says, status = 401 } of attempts) {
    const name = host === undefined ? DOMAIN : `${host}.${DOMAIN}`
    const env: Record<string, string> =
      key === undefined ? {} : { DOCKER_CUSTOM_HEADERS: `X-Berth-Key=${key}` }
    const ran = await docker(`tcp://${name}:${tcp}`, ['ps'], { env })
    t.match(ran, { code: 1, stdout: '', stderr: says }, who)
    t.match(ran.stderr, /^Error response from daemon: berth: .*\(request [^)]+\)/, who)
    const answer = await ask(tcp, { host: name, ...(key !== undefined && { 'x-berth-key': key }) })
    t.match(answer, { status, message: says }, who)
  }
  t.equal(engine.connections, 0)
  t.match(await ask(tcp, { host: DOMAIN, 'x-berth-key': ann.key }), { status: 200 })
  t.equal(engine.connections, 1)
})

test('after twenty wrong keys the store is spared, and good keys go on', async (t) => {
  const engine = await RecordingEngine.start(t)
  const redis = await startRedis(t)
  const tenancy = await openTenancy(t, `redis://127.0.0.1:${redis.port}`)
  const ann = await tenancy.add({ name: 'ann', endpoint: engine.url })
  const ben = await tenancy.add({ name: 'ben', endpoint: engine.url })
  const { tcp, berth } = await startHarbour(t, tenancy)
  const keyed = (key: string) => ask(tcp, { host: DOMAIN, 'x-berth-key': key })
  t.equal((await keyed(ann.key)).status, 200)

  const before = lookUps(redis.port)
  const answers = await Promise.all(Array.from({ length: 60 }, () => keyed(mintKey())))
  const looked = lookUps(redis.port) - before
  t.ok(answers.every(({ status }) => status === 401))
  const unknown = answers.filter(({ message }) => message.includes('not known')).length
  const refused = answers.filter(({ message }) => message.includes('too many unknown keys')).length
  t.equal(unknown + refused, 60)
  t.ok(unknown >= 20 && unknown <= 40, `${unknown} of 60 were looked up`)
  t.ok(looked <= unknown, 'the others asked nothing of the store')
  t.equal((await keyed(ann.key)).status, 200, 'a known tenant goes on')
  t.equal((await keyed(ben.key)).status, 200, 'and one who comes for the first time')
  t.notMatch(berth.log(), new RegExp(`${ann.key}|${ben.key}`), 'no key is logged')
})

/** How often a Redis has been asked for a record. */
const lookUps = (port: number): number => {
  const stats = execFileSync('/usr/bin/redis-cli', ['-p', String(port), 'info', 'commandstats'])
  return Number(/cmdstat_hmget:calls=(\d+)/.exec(stats.toString())?.[1] ?? 0)
}

interface Answer {
  readonly status: number
  readonly message: string
}

const ask = (port: string, headers: Record<string, string>): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', path: '/_ping', agent: false, headers }
    const req = request(options, (res) => {
      let body = ''
      res.on('data', (text) => {
        body += text
      })
      res.on('end', () => {
        const { message = '' } = body.startsWith('{') ? JSON.parse(body) : {}
        resolve({ status: res.statusCode ?? 0, message })
      })
    })
    req.on('error', reject)
    req.end()
  })
