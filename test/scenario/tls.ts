/** TLS listeners: streams that end as over TCP, certificates by name and by change, and who is at the other side. */
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { type Test, test } from 'tap'
import { type DockerOptions, docker } from '../../fixtures/docker.ts'
import { startEngine } from '../../fixtures/engine.ts'
import { type Authority, initAuthority, openAuthority } from '../../src/tenant/authority.ts'
import { succeed } from '../support/docker.ts'
import { RecordingEngine } from '../support/recording-engine.ts'
import { openTenancy, type Tenancy } from '../support/tenancy.ts'

const HOUR = 3_600_000
const TLS = ['tls://127.0.0.1:0'] as const

const portOf = (url: string | undefined): number =>
  Number(new URL((url ?? '').replace(/^\w+/, 'http')).port)

const makeAuthority = async (folder: string): Promise<Authority> => {
  await initAuthority(folder, Date.now())
  return await openAuthority(folder, Date.now)
}

const authorityOf = (tenancy: Tenancy): Promise<Authority> =>
  makeAuthority(join(tenancy.state, 'ca'))

/** A connection that trusts whatever it is shown, unless told whom to trust. */
const handshake = async (
  t: Test,
  port: number,
  options: ConnectionOptions = {},
): Promise<TLSSocket> => {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

const namesAt = async (t: Test, port: number, servername?: string): Promise<string | undefined> => {
  const socket = await handshake(t, port, servername === undefined ? {} : { servername })
  return socket.getPeerX509Certificate()?.subjectAltName
}

/** One request over a socket of any kind; resolves to all that came back before the end. */
const ask = async (
  socket: Socket,
  fields: readonly string[] = [],
  host = 'berth.test',
): Promise<string> => {
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes
  })
  const head = ['GET /_ping HTTP/1.1', `Host: ${host}`, ...fields, 'Connection: close', '\r\n']
  socket.write(head.join('\r\n'))
  await once(socket, 'end')
  return text
}

test('docker over TLS ends as it does over TCP', async (t) => {
  const engine = await startEngine()
  t.teardown(() => engine.stop())
  const tenancy = await openTenancy(t)
  const { key } = await tenancy.add({ name: 'ann', endpoint: engine.url })
  const berth = await tenancy.serve({ listen: ['tcp://127.0.0.1:0', ...TLS] })
  const [tcp, tls] = berth.urls
  const { env: secure } = JSON.parse(
    await tenancy.order(
      ...['context', 'ann', '--address', `${tls}`, '--json', '--out', join(tenancy.state, 'ann')],
    ),
  )
  const plain = { DOCKER_HOST: `${tcp}`, DOCKER_CUSTOM_HEADERS: `X-Berth-Key=${key}` }
  const input = randomBytes(150_000).toString('hex')
  await succeed(engine, ['run', '-d', '--init', '--name', 'box', 'busybox', 'sleep', '1000'])

  const commands: readonly (readonly [args: readonly string[], options?: DockerOptions])[] = [
    [['run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3']],
    [['run', '-i', '--rm', 'busybox', 'cat'], { input: 'hi\n' }],
    [['run', '-i', '--rm', 'busybox', 'cat'], { input }],
    [['run', '-i', '--rm', 'busybox', 'sh', '-c', 'wc -c; head -c 300000 /dev/zero'], { input }],
    [['exec', '-i', 'box', 'cat'], { input }],
    [['exec', 'box', 'no-such-command']],
    [['export', 'no-such-container']],
  ]
  for (const [args, options] of commands) {
    const overTcp = await docker('', args, { ...options, env: plain })
    const overTls = await docker('', args, { ...options, env: secure })
    t.strictSame(overTls, overTcp, `docker ${args.join(' ').slice(0, 60)}`)
  }

  const blunder = await docker(`tcp://127.0.0.1:${portOf(tls)}`, ['ps'])
  t.match(blunder, { code: 1, stderr: /berth: this port speaks TLS/ }, 'plain HTTP is answered')
})

test('half-closes and resets pass through TLS as they were made', async (t) => {
  const engine = await RecordingEngine.start(t, 'tcp')
  const tenancy = await openTenancy(t)
  const { key } = await tenancy.add({ name: 'ann', endpoint: engine.url })
  const berth = await tenancy.serve({ listen: TLS })

  const hijack = async (raw?: Socket): Promise<{ client: TLSSocket; engineSide: Socket }> => {
    const before = new Set(engine.sockets)
    const options = { allowHalfOpen: true, ...(raw !== undefined && { socket: raw }) }
    const client = await handshake(t, portOf(berth.url), options)
    const head = ['POST /containers/a/attach?stream=1 HTTP/1.1', 'Host: a', `X-Berth-Key: ${key}`]
    client.write([...head, 'Connection: Upgrade', 'Upgrade: tcp', '\r\n'].join('\r\n'))
    await once(client, 'data')
    const [engineSide] = [...engine.sockets].filter((socket) => !before.has(socket))
    return { client, engineSide: engineSide! }
  }

  await t.test('the client ends, and hears what is said after that', async (t) => {
    const { client, engineSide } = await hijack()
    client.end('last words')
    await once(engineSide, 'end')
    engineSide.end('an answer')
    t.equal(String(await once(client, 'data')), 'an answer')
    await once(client, 'end')
  })
  await t.test('the engine ends, and hears what is said after that', async (t) => {
    const { client, engineSide } = await hijack()
    engineSide.end()
    client.resume()
    await once(client, 'end')
    client.end('still here')
    t.equal(String(await once(engineSide, 'data')), 'still here')
  })
  await t.test('the engine resets: the client sees an error, not an end', async (t) => {
    const { client, engineSide } = await hijack()
    client.on('end', () => t.fail('it looked like an orderly end'))
    client.resume()
    const error = once(client, 'error').catch((error) => [error])
    engineSide.resetAndDestroy()
    t.match((await error)[0], { code: 'ECONNRESET' })
  })
  await t.test('the client resets: so it is for the engine', async (t) => {
    const raw = connectTcp({ host: '127.0.0.1', port: portOf(berth.url) })
    const { client, engineSide } = await hijack(raw)
    const gone = t.rejects(once(engineSide, 'close'), { code: 'ECONNRESET' })
    client.on('error', () => {})
    raw.resetAndDestroy()
    await gone
  })
})

test('certificates are chosen by name, and read again when they change', async (t) => {
  const folder = t.testdir()
  const authority = await makeAuthority(join(folder, 'ca'))
  const write = async (name: string, names: readonly string[]) => {
    const { certificate, key, serial } = await authority.issueServer('listeners', names, HOUR)
    writeFileSync(join(folder, `${name}.pem`), certificate)
    writeFileSync(join(folder, `${name}.key`), key)
    return serial.toUpperCase()
  }
  await write('one', ['one.test'])
  await write('two', ['two.test', '*.two.test'])
  await write('special', ['special.two.test'])
  const file = (name: string) =>
    `{ certificate: ${join(folder, `${name}.pem`)}, key: ${join(folder, `${name}.key`)} }`
  const config = join(folder, 'berth.yaml')
  writeFileSync(
    config,
    `tls: { certificates: [${['one', 'two', 'special'].map(file).join(', ')}] }\n`,
  )
  const tenancy = await openTenancy(t)
  const berth = await tenancy.serve({ listen: TLS, args: ['--config', config] })
  const port = portOf(berth.url)

  t.equal(await namesAt(t, port, 'one.test'), 'DNS:one.test')
  t.equal(await namesAt(t, port, 'two.test'), 'DNS:two.test, DNS:*.two.test')
  t.equal(await namesAt(t, port, 'KEY.Two.test'), 'DNS:two.test, DNS:*.two.test', 'a wildcard')
  t.equal(
    await namesAt(t, port, 'special.two.test'),
    'DNS:special.two.test',
    'exact before wildcard',
  )
  t.equal(await namesAt(t, port, 'a.b.two.test'), 'DNS:one.test', 'a wildcard is one label')
  t.equal(await namesAt(t, port, 'unknown.test'), 'DNS:one.test')
  t.equal(await namesAt(t, port), 'DNS:one.test')

  const before = await handshake(t, port, { servername: 'one.test' })
  const serialAt = async (servername?: string) =>
    (
      await handshake(t, port, servername === undefined ? {} : { servername })
    ).getPeerX509Certificate()?.serialNumber
  const renewed = await write('one', ['one.test'])
  for (const deadline = Date.now() + 6000; Date.now() < deadline; await delay(100))
    if ((await serialAt('one.test')) === renewed) break
  t.equal(await serialAt('one.test'), renewed, 'the new one is shown')
  t.equal(await serialAt(), renewed, 'also to clients that name none')
  t.match(await ask(before), /^HTTP\/1.1 401/, 'who was connected still is')

  writeFileSync(join(folder, 'one.pem'), 'half a certif')
  for (const deadline = Date.now() + 6000; Date.now() < deadline; await delay(100))
    if (/unusable/.test(berth.log())) break
  t.match(berth.log(), /one\.pem.*has become unusable/)
  t.equal(await serialAt('one.test'), renewed, 'what was loaded before stays')

  const resumed = await new Promise<boolean>((resolve, reject) => {
    const first = connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
    })
    first.once('error', reject)
    first.once('secureConnect', async () => {
      const session = first.getSession()
      first.destroy()
      const next = await handshake(t, port, { maxVersion: 'TLSv1.2', ...(session && { session }) })
      resolve(next.isSessionReused())
    })
  })
  t.equal(resumed, false, 'no session is resumed: it would carry the identity of another')
})

test('a certificate identifies its tenant, if it is of this berth, for clients and still good', async (t) => {
  const engine = await RecordingEngine.start(t)
  const tenancy = await openTenancy(t)
  const { tenant, key } = await tenancy.add({ name: 'ann', endpoint: engine.url })
  const other = await tenancy.add({ name: 'ben', endpoint: engine.url })
  const authority = await authorityOf(tenancy)
  const foreign = await makeAuthority(join(t.testdir(), 'ca'))
  const berth = await tenancy.serve({ listen: TLS })
  const askWith = async (
    { certificate, key }: { certificate: string; key: string },
    fields: readonly string[] = [],
  ) => ask(await handshake(t, portOf(berth.url), { cert: certificate, key }), fields)

  const good = await authority.issueClient(tenant, HOUR)
  t.match(await askWith(good), /^HTTP\/1.1 200/)
  t.match(await askWith(good, [`X-Berth-Key: ${key}`]), /^HTTP\/1.1 200/, 'with a key of the same')
  engine.connections = 0
  t.match(
    await askWith(good, [`X-Berth-Key: ${other.key}`]),
    /^HTTP\/1.1 401[\s\S]*different tenants/,
  )
  t.match(
    await askWith(await foreign.issueClient(tenant, HOUR)),
    /^HTTP\/1.1 401[\s\S]*not issued for/,
  )
  t.match(
    await askWith(await authority.issueClient(tenant, 0)),
    /^HTTP\/1.1 401[\s\S]*no longer valid/,
  )
  t.match(
    await askWith(await authority.issueServer('listeners', ['ann'], HOUR)),
    /^HTTP\/1.1 401[\s\S]*not issued for/,
    'a certificate for listeners is none for clients',
  )
  await tenancy.order('tenant', 'revoke', 'ann', '--certificates')
  await delay(500)
  t.match(await askWith(good), /^HTTP\/1.1 401[\s\S]*revoked/)
  t.equal(engine.connections, 0)
  const again = await authority.issueClient(await tenancy.registry.show('ann'), HOUR)
  t.match(await askWith(again), /^HTTP\/1.1 200/, 'a new one is good')
  t.match(new X509Certificate(again.certificate).subjectAltName, `URI:berth:tenant:${tenant.id}`)
})

test('a given authority speaks for the tenants that it is bound to, and for no others', async (t) => {
  const engine = await RecordingEngine.start(t)
  const tenancy = await openTenancy(t)
  const folder = t.testdir()
  const authority = await makeAuthority(join(folder, 'ca'))
  writeFileSync(join(folder, 'given.pem'), authority.certificate('clients'))
  const config = join(folder, 'berth.yaml')
  writeFileSync(
    config,
    `tls: { clientAuthorities: [{ certificate: ${join(folder, 'given.pem')}, tenants: [ann, ben] }] }\n`,
  )
  const add = async (name: string) => (await tenancy.add({ name, endpoint: engine.url })).tenant
  const [ann, , eve] = [await add('ann'), await add('ben'), await add('eve')]
  const berth = await tenancy.serve({ listen: TLS, args: ['--config', config] })
  const askAs = async ({ certificate, key }: { certificate: string; key: string }) =>
    ask(await handshake(t, portOf(berth.url), { cert: certificate, key }))

  t.match(await askAs(await authority.issueClient(ann, HOUR)), /^HTTP\/1.1 200/)
  t.match(
    await askAs(await authority.issueClient(eve, HOUR)),
    /^HTTP\/1.1 401/,
    'a tenant that it is not bound to',
  )
  t.match(await askAs(await authority.issueServer('listeners', ['ann'], HOUR)), /^HTTP\/1.1 401/)
  await tenancy.order('tenant', 'disable', 'ann')
  await delay(500)
  t.match(await askAs(await authority.issueClient(ann, HOUR)), /^HTTP\/1.1 403/)
})

// === PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt 2.2) ===

const SIGNATURE = '0d0a0d0a000d0a515549540a'
const ipv4Header = (source: string): Buffer => {
  const bytes = source.split('.').map(Number)
  return Buffer.concat([
    Buffer.from(`${SIGNATURE}2111000c`, 'hex'),
    Buffer.from([...bytes, 127, 0, 0, 1, 0xc0, 0, 0x09, 0x48]),
  ])
}
const ipv6Header = Buffer.from(
  `${SIGNATURE}21210024${'20010db8'.padEnd(32, '0')}${'1'.padStart(32, '0')}c0000948`,
  'hex',
)
const LOCAL_HEADER = Buffer.from(`${SIGNATURE}20000000`, 'hex')

test('behind a listed balancer the true address counts', async (t) => {
  const engine = await RecordingEngine.start(t)
  const tenancy = await openTenancy(t)
  const cidrs = ['192.0.2.0/24', '2001:db8::/32']
  const { key } = await tenancy.add({ name: 'ann', endpoint: engine.url, hostKey: { cidrs } })
  const listen = ['tcp://127.0.0.1:0', ...TLS]
  const berth = await tenancy.serve({ listen, env: { BERTH_BALANCERS: '127.0.0.1/32' } })
  const direct = await tenancy.serve({ listen, env: { BERTH_BALANCERS: '198.51.100.0/24' } })

  const through = async (url: string | undefined, pieces: readonly Buffer[]): Promise<Socket> => {
    const socket = connectTcp({ host: '127.0.0.1', port: portOf(url), noDelay: true })
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    await once(socket, 'connect')
    for (const piece of pieces) {
      socket.write(piece)
      await new Promise(setImmediate)
    }
    return socket
  }
  const from = async (socket: Socket) => ask(socket, [], `${key}.berth.test`)
  const inside = ipv4Header('192.0.2.7')
  const [tcp, tls] = berth.urls

  t.match(await from(await through(tcp, [inside])), /^HTTP\/1.1 200/)
  t.match(await from(await through(tcp, [ipv6Header])), /^HTTP\/1.1 200/, 'IPv6')
  const bytes = Array.from(inside, (_, at) => inside.subarray(at, at + 1))
  t.match(await from(await through(tcp, bytes)), /^HTTP\/1.1 200/, 'byte by byte')
  t.match(await from(await through(tcp, [ipv4Header('203.0.113.7')])), /^HTTP\/1.1 401/)
  t.match(await from(await through(tcp, [LOCAL_HEADER])), /^HTTP\/1.1 401/, 'the balancer itself')

  const raw = await through(tls, [inside])
  const secured = connect({ socket: raw, rejectUnauthorized: false })
  await once(secured, 'secureConnect')
  t.match(await from(secured), /^HTTP\/1.1 200/, 'over TLS')

  const without = await through(tcp, [Buffer.from('GET /_ping HTTP/1.1\r\nHost: a\r\n\r\n')])
  await once(without, 'close')
  t.equal(without.bytesRead, 0, 'a balancer that does not introduce its client is not served')

  const liar = await through(direct.urls[0], [inside])
  liar.write('GET /_ping HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(String(await once(liar, 'data')), /^HTTP\/1.1 400/, 'whoever is no balancer has no say')
})
