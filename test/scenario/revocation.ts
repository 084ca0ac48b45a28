/** What a tenant has open ends within a second when the tenant is disabled, on every berth that shares the store. */
import { once } from 'node:events'
import { type Test, test } from 'tap'
import { docker, startDocker } from '../../fixtures/docker.ts'
import { type Engine, startEngine } from '../../fixtures/engine.ts'
import { openTerminal } from '../../fixtures/terminal.ts'
import { succeed } from '../support/docker.ts'
import { nameHosts } from '../support/hosts.ts'
import { rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'
import { startRedis } from '../support/redis.ts'
import { openTenancy, type Tenancy } from '../support/tenancy.ts'

const DOMAIN = 'revocation.test'
/** The promise, and what this machine needs to notice that it was kept. */
const SOON_MS = 1000 + 500

const CHATTER = 'while :; do echo chatter; sleep 0.1; done'

/** A live `logs -f` and a live `exec -it` of one tenant. */
const openStreams = async (host: string) => {
  const terminal = await openTerminal(host, ['exec', '-it', 'talker', 'sh'])
  const logs = await startDocker(host, ['logs', '--follow', '--tail', '1', 'talker'])
  let heard = 0
  logs.stdout.on('data', () => {
    heard += 1
  })
  await once(logs.stdout, 'data')
  terminal.type('echo li""ve\r')
  await terminal.shows('live')
  const ends = Promise.all([once(logs, 'close').then(([code]) => code), terminal.ended])
  return { terminal, logs, ends, heard: () => heard }
}

const within = <T>(ms: number, promise: Promise<T>): Promise<T | 'too late'> => {
  let timer: NodeJS.Timeout
  const late = new Promise<'too late'>((resolve) => {
    timer = setTimeout(() => resolve('too late'), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const startTalker = async (t: Test): Promise<Engine> => {
  const engine = await startEngine()
  t.teardown(() => engine.stop())
  await succeed(engine, [
    ...['run', '--detach', '--init', '--name', 'talker', 'busybox', 'sh', '-c', CHATTER],
  ])
  return engine
}

/** Two processes that serve, and the store that they share. */
const PAIRS: Readonly<
  Record<string, (t: Test) => Promise<{ tenancy: Tenancy; urls: readonly string[] }>>
> = {
  'two workers on LMDB': async (t) => {
    const tenancy = await openTenancy(t)
    const { url } = await tenancy.serve({ args: ['--workers', '2'] })
    // connections go to the workers in turn
    return { tenancy, urls: [url, url] }
  },
  'two berths on Redis': async (t) => {
    const tenancy = await openTenancy(t, `redis://127.0.0.1:${(await startRedis(t)).port}`)
    const berths = await Promise.all([tenancy.serve(), tenancy.serve()])
    return { tenancy, urls: berths.map(({ url }) => url) }
  },
}

for (const [name, start] of Object.entries(PAIRS)) {
  test(`berth tenant disable, with ${name}`, async (t) => {
    const [engine, { tenancy, urls }] = await Promise.all([startTalker(t), start(t)])
    const { key } = await tenancy.add({ name: 'a', endpoint: engine.url, hostKey: {} })
    const other = await tenancy.add({ name: 'b', endpoint: engine.url, hostKey: {} })
    nameHosts(t, [`${key}.${DOMAIN}`, `${other.key}.${DOMAIN}`])
    const ports = urls.map((url) => new URL(url.replace('tcp', 'http')).port)
    const hostOf = (key: string, port: string | undefined) => `tcp://${key}.${DOMAIN}:${port}`

    const mine = await Promise.all(ports.map((port) => openStreams(hostOf(key, port))))
    const others = await Promise.all(ports.map((port) => openStreams(hostOf(other.key, port))))

    await tenancy.order('tenant', 'disable', 'a')
    const ends = await within(SOON_MS, Promise.all(mine.map(({ ends }) => ends)))
    t.not(ends, 'too late', 'everything of a ended')
    for (const code of [ends].flat(2)) t.not(code, 0, 'and none of it as if all were well')

    for (const { logs, heard, terminal } of others) {
      const before = heard()
      await once(logs.stdout, 'data')
      t.ok(heard() > before)
      terminal.type('echo still he""re\r')
      await terminal.shows('still here')
    }
    for (const port of ports) {
      const refused = await docker(hostOf(key, port), ['ps'])
      t.match(refused, { code: 1, stderr: /berth: this tenant is disabled/ })
    }

    await tenancy.order('tenant', 'enable', 'a')
    await t.resolves(until(async () => (await docker(hostOf(key, ports[1]), ['ps'])).code === 0))

    for (const { terminal, logs } of others) {
      logs.kill()
      await terminal.close()
    }
  })
}

test('so it does when the key is revoked, when it expires, and when the certificates are', async (t) => {
  const engine = await startTalker(t)
  const tenancy = await openTenancy(t)
  const { registry } = tenancy
  const endsSoon = async (t: Test, host: string, end: () => unknown, patience = SOON_MS) => {
    const streams = await openStreams(host)
    await end()
    t.not(await within(patience, streams.ends), 'too late')
  }
  const berth = await tenancy.serve({ listen: ['tcp://127.0.0.1:0', 'tls://127.0.0.1:0'] })
  const [tcp, tls] = berth.urls.map((url) => new URL(url.replace(/^\w+/, 'http')).port)
  const addKeyed = async (name: string, expiresAt?: number) => {
    const keyed = await tenancy.add({ name, endpoint: engine.url, hostKey: {}, expiresAt })
    nameHosts(t, [`${keyed.key}.${DOMAIN}`])
    return { ...keyed, host: `tcp://${keyed.key}.${DOMAIN}:${tcp}` }
  }

  await t.test('berth tenant revoke --key', async (t) => {
    const { host, key } = await addKeyed('revoked')
    await endsSoon(t, host, () => tenancy.order('tenant', 'revoke', 'revoked', '--key', key))
  })
  await t.test('it is rotated without an overlap', async (t) => {
    const { host } = await addKeyed('rotated')
    await endsSoon(t, host, () => registry.rotate('rotated', { overlap: 0 }))
  })
  await t.test('its time is over', async (t) => {
    const span = 4000
    const { host } = await addKeyed('expiring', Date.now() + span)
    await endsSoon(t, host, () => undefined, span + SOON_MS)
  })
  await t.test('its tenant is removed', async (t) => {
    const { host } = await addKeyed('removed')
    await endsSoon(t, host, () => registry.remove('removed'))
  })
  await t.test('the certificates are revoked', async (t) => {
    await addKeyed('certified')
    await tenancy.order(
      ...['context', 'certified', '--address', `tls://127.0.0.1:${tls}`, '--create'],
      ...['--out', `${tenancy.state}/certified`],
    )
    const logs = await startDocker('', ['--context', 'certified', 'logs', '-f', 'talker'])
    await once(logs.stdout, 'data')
    const ended = once(logs, 'close')
    await registry.revokeCertificates('certified')
    t.not(await within(SOON_MS, ended), 'too late')
    const refused = await docker('', ['--context', 'certified', 'ps'])
    t.match(refused, { code: 1, stderr: /berth: .*revoked/ })
  })
})

test('of two keys that a connection has shown, the end of either ends it', async (t) => {
  const engine = await RecordingEngine.start(t)
  const tenancy = await openTenancy(t)
  const first = await tenancy.add({ name: 'a', endpoint: engine.url })
  const second = await tenancy.registry.rotate('a', { overlap: 3_600_000 })
  const berth = await tenancy.serve()
  const client = rawClient(t, berth.url)
  const ping = (key: string) => `GET /_ping HTTP/1.1\r\nHost: a\r\nX-Berth-Key: ${key}\r\n\r\n`
  client.send(ping(first.key))
  await client.until('an answer', ({ statuses }) => statuses.length === 1)
  client.send(ping(second.key))
  await client.until('another', ({ statuses }) => statuses.length === 2)
  t.same(client.statuses, [200, 200])
  await tenancy.order('tenant', 'revoke', 'a', '--key', second.key)
  t.equal(await client.ended(), 'reset')
})

/** Resolves once `holds`. */
const until = async (holds: () => Promise<boolean>): Promise<void> => {
  for (const deadline = Date.now() + 5000; Date.now() < deadline; ) if (await holds()) return
  throw new Error('it never was so')
}
