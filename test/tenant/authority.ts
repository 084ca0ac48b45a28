/** berth's own certificates, in real TLS handshakes and under the eyes of openssl. */

import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { type Test, test } from 'tap'
import {
  type Issued,
  initAuthority,
  openAuthority,
  type Purpose,
} from '../../src/tenant/authority.ts'
import { tenantOfCertificate } from '../../src/tenant/certificate.ts'
import { mintTenantId } from '../../src/tenant/key.ts'

const HOUR = 3_600_000
const ann = { id: mintTenantId(), name: 'ann', certificateEpoch: 7 }

const open = async (t: Test, now: () => number = Date.now) => {
  const directory = join(t.testdir(), 'ca')
  await initAuthority(directory, now())
  return { directory, authority: await openAuthority(directory, now) }
}

const derOf = (pem: string): Buffer => new X509Certificate(pem).raw

interface Side {
  /** What it shows. */
  readonly shows?: Issued
  /** Whom it trusts (PEM). */
  readonly trusts: string
}

/** Shakes hands over loopback. Returns what the server learns of the client, or fails with whoever refused first. */
const handshake = async (
  t: Test,
  server: Side,
  client: Side,
  servername = 'localhost',
): Promise<{ authorized: boolean; raw: Buffer | undefined }> => {
  const listener = createServer({
    cert: server.shows?.certificate,
    key: server.shows?.key,
    ca: server.trusts,
    requestCert: true,
    rejectUnauthorized: false,
  })
  const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>
  listener.on('tlsClientError', () => undefined)
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const socket = connect({
    host: '127.0.0.1',
    port: (listener.address() as AddressInfo).port,
    servername,
    ca: client.trusts,
    ...(client.shows && { cert: client.shows.certificate, key: client.shows.key }),
  })
  t.teardown(() => {
    socket.destroy()
    listener.close()
  })
  await once(socket, 'secureConnect')
  const [peer] = await accepted
  const { raw } = peer.getPeerCertificate()
  const { authorized } = peer
  peer.destroy()
  return { authorized, raw }
}

test('the authorities are made once, for their owner only', async (t) => {
  const { directory, authority } = await open(t)
  const purposes: Purpose[] = ['clients', 'listeners', 'engines']
  for (const purpose of purposes) {
    t.equal(statSync(join(directory, `${purpose}-ca.pem`)).mode & 0o777, 0o600)
  }
  await Promise.all([initAuthority(directory, Date.now()), initAuthority(directory, Date.now())])
  const again = await openAuthority(directory, Date.now)
  for (const purpose of purposes)
    t.equal(again.certificate(purpose), authority.certificate(purpose))
  t.notMatch(authority.certificate('clients'), 'PRIVATE KEY')
})

test('two who make them at the same moment get the same ones', async (t) => {
  const directory = join(t.testdir(), 'ca')
  const [a, b] = await Promise.all(
    [0, 1].map(async () => {
      await initAuthority(directory, Date.now())
      return await openAuthority(directory, Date.now)
    }),
  )
  t.equal(a?.certificate('clients'), b?.certificate('clients'))
})

test('a tenant is recognised by his certificate in a handshake', async (t) => {
  const { authority } = await open(t)
  const listener = await authority.issueServer('listeners', ['localhost'], HOUR)
  const client = await authority.issueClient(ann, HOUR)
  const { authorized, raw } = await handshake(
    t,
    { shows: listener, trusts: authority.certificate('clients') },
    { shows: client, trusts: authority.certificate('listeners') },
  )
  t.equal(authorized, true)
  t.same(tenantOfCertificate(raw ?? Buffer.of(), authority.certificate('clients'), Date.now()), {
    tenantId: ann.id,
    epoch: 7,
    serial: client.serial,
    expiresAt: client.expiresAt,
  })
})

test('a listener is trusted under its names and addresses, with wildcards, and no others', async (t) => {
  const { authority } = await open(t)
  const listener = await authority.issueServer(
    'listeners',
    ['berth.test', '*.berth.test', '127.0.0.1', '::1'],
    HOUR,
  )
  const certificate = new X509Certificate(listener.certificate)
  for (const name of ['berth.test', 'x7.berth.test'])
    t.equal(certificate.checkHost(name) !== undefined, true, name)
  for (const name of ['other.test', 'a.b.berth.test'])
    t.equal(certificate.checkHost(name), undefined, name)
  for (const ip of ['127.0.0.1', '::1']) t.equal(certificate.checkIP(ip), ip)
  const trusts = authority.certificate('listeners')
  await handshake(t, { shows: listener, trusts }, { trusts }, 'x7.berth.test')
  await t.rejects(handshake(t, { shows: listener, trusts }, { trusts }, 'other.test'), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
})

test('no certificate can serve in the place of another', async (t) => {
  const { authority } = await open(t)
  const certificate = authority.certificate
  const client = await authority.issueClient(ann, HOUR)
  const dialler = await authority.issueDialler(HOUR)
  const engine = await authority.issueServer('engines', ['localhost'], HOUR)
  const listener = await authority.issueServer('listeners', ['localhost'], HOUR)

  const asServer = (shows: Issued, trusts: string) => handshake(t, { shows, trusts }, { trusts })
  const asClient = (shows: Issued, trusts: string) =>
    handshake(t, { shows: listener, trusts }, { shows, trusts: certificate('listeners') })

  await t.rejects(asServer(client, certificate('clients')), { code: 'INVALID_PURPOSE' })
  await t.rejects(asServer(client, certificate('listeners')), 'nor with the trust of a user')
  await t.rejects(asServer(client, certificate('engines')), 'nor as an engine')
  await t.rejects(asServer(dialler, certificate('engines')), { code: 'INVALID_PURPOSE' })
  await t.rejects(asServer(engine, certificate('listeners')))
  t.equal(
    (await asClient(client, certificate('engines'))).authorized,
    false,
    'a tenant at an engine',
  )
  t.equal((await asClient(dialler, certificate('clients'))).authorized, false)
  t.equal((await asClient(engine, certificate('engines'))).authorized, false)
  t.equal((await asClient(listener, certificate('clients'))).authorized, false)
  t.equal((await asClient(dialler, certificate('engines'))).authorized, true, 'berth at an engine')
})

test('only a valid certificate of the authority for clients names a tenant', async (t) => {
  const { authority, directory } = await open(t)
  const other = await openAuthority(
    await (async () => {
      const elsewhere = `${directory}-other`
      await initAuthority(elsewhere, Date.now())
      return elsewhere
    })(),
    Date.now,
  )
  const ca = authority.certificate('clients')
  const now = Date.now()
  const client = await authority.issueClient(ann, HOUR)
  const der = derOf(client.certificate)
  t.ok(tenantOfCertificate(der, ca, now))
  t.equal(tenantOfCertificate(der, ca, client.expiresAt), undefined, 'expired')
  t.equal(tenantOfCertificate(der, ca, now - HOUR), undefined, 'not yet valid')
  t.ok(tenantOfCertificate(der, ca, now - 60_000), 'a clock may be a minute behind')
  t.equal(
    tenantOfCertificate(der, other.certificate('clients'), now),
    undefined,
    'of another berth',
  )
  t.equal(tenantOfCertificate(derOf(ca), ca, now), undefined, 'the authority itself')
  for (const { certificate } of [
    await authority.issueServer('listeners', ['localhost'], HOUR),
    await authority.issueServer('engines', ['localhost'], HOUR),
    await authority.issueDialler(HOUR),
    await other.issueClient(ann, HOUR),
  ]) {
    t.equal(tenantOfCertificate(derOf(certificate), ca, now), undefined)
  }
  for (let at = 0; at < der.length; at += 7) {
    const broken = Buffer.from(der)
    broken[at] = (broken[at] ?? 0) ^ 1
    const found = tenantOfCertificate(broken, ca, now)
    if (found !== undefined) t.fail(`byte ${at} may be changed`)
  }
})

test('openssl finds nothing wrong with any of them', async (t) => {
  const { authority, directory } = await open(t)
  const issued = {
    clients: ['sslclient', await authority.issueClient(ann, HOUR)],
    listeners: ['sslserver', await authority.issueServer('listeners', ['localhost', '::1'], HOUR)],
    engines: ['sslserver', await authority.issueServer('engines', ['10.0.0.1'], HOUR)],
  } as const
  for (const [purpose, [role, { certificate, ca }]] of Object.entries(issued)) {
    const [leaf, root] = [join(directory, 'leaf.pem'), join(directory, 'root.pem')]
    writeFileSync(leaf, certificate)
    writeFileSync(root, ca)
    const said = execFileSync(
      'openssl',
      ['verify', '-x509_strict', '-purpose', role, '-CAfile', root, leaf],
      { encoding: 'utf8' },
    )
    t.match(said, /: OK/, purpose)
  }
})

test('the certificate of a listener ends with its authority at the latest', async (t) => {
  const clock = { now: Date.now() }
  const { authority } = await open(t, () => clock.now)
  const end = Date.parse(new X509Certificate(authority.certificate('listeners')).validTo)
  const issue = () => authority.issueServer('listeners', ['berth.test'], 825 * 24 * HOUR)
  t.ok((await issue()).expiresAt < end)
  clock.now = end - 10 * 24 * HOUR
  const issued = await issue()
  t.equal(issued.expiresAt, end)
  t.equal(Date.parse(new X509Certificate(issued.certificate).validTo), end)
  clock.now = end
  await t.rejects(issue(), { code: 'AUTHORITY_UNUSABLE', message: /has ended/ })
})

test('what cannot be issued is refused with the reason', async (t) => {
  const { authority, directory } = await open(t)
  await t.rejects(authority.issueServer('listeners', [], HOUR), { code: 'AUTHORITY_UNUSABLE' })
  for (const name of ['a b', 'a,DNS:evil', '-a', 'a..b', 'a.*', '']) {
    await t.rejects(authority.issueServer('listeners', [name], HOUR), {
      message: /neither a DNS name nor an address/,
    })
  }
  await t.rejects(authority.issueClient(ann, 20 * 365 * 24 * HOUR), { message: /would end before/ })
  const path = join(directory, 'clients-ca.pem')
  const text = readFileSync(path, 'utf8')
  chmodSync(path, 0o644)
  await t.rejects(openAuthority(directory, Date.now), {
    code: 'SECRET_UNUSABLE',
    message: /chmod 600/,
  })
  chmodSync(path, 0o600)
  writeFileSync(path, text.slice(0, 100))
  await t.rejects(openAuthority(directory, Date.now), {
    code: 'AUTHORITY_UNUSABLE',
    message: /clients-ca\.pem/,
  })
  rmSync(path)
  await t.rejects(openAuthority(directory, Date.now), { message: /berth ca init/ })
})
