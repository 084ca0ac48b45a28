/** Who a request is from, where it shows more than one thing, or what it shows comes to its end. */

import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { Connection } from '../../src/exchange.ts'
import { openStore } from '../../src/store/open.ts'
import { type Authority, initAuthority, openAuthority } from '../../src/tenant/authority.ts'
import { createIdentify } from '../../src/tenant/identify.ts'
import { createRegistry } from '../../src/tenant/registry.ts'
import { Roster } from '../../src/tenant/roster.ts'
import { loadSeal } from '../../src/tenant/seal.ts'
import { createThrottle } from '../../src/tenant/throttle.ts'
import type { RequestHead } from '../../src/wire/head.ts'
import { until } from '../contract/store.ts'

const OF_ALL = { endpoint: 'local', policy: 'dedicated', plan: 'small' } as const
const HOUR = 3_600_000

const authorityIn = async (folder: string): Promise<Authority> => {
  await initAuthority(folder, Date.now())
  return await openAuthority(folder, Date.now)
}

const open = async (t: Test) => {
  const folder = t.testdir()
  const store = await openStore(`lmdb://${folder}/db`)
  const parts = {
    store,
    seal: loadSeal(join(folder, 'secret')),
    now: Date.now,
    onForged: () => undefined,
  }
  const roster = await Roster.open(parts)
  t.teardown(() => {
    roster.close()
    return store.close()
  })
  const authority = await authorityIn(join(folder, 'ca'))
  const given = await authorityIn(join(folder, 'given'))
  const identify = createIdentify({
    roster,
    throttle: createThrottle(),
    clientAuthority: authority.certificate('clients'),
    givenAuthorities: [{ certificate: given.certificate('clients'), tenants: ['ann', 'ben'] }],
    now: Date.now,
  })
  return { registry: createRegistry(parts), authority, given, identify }
}

/** A connection, and what has become of it. */
const connectionOf = (pem?: string): Connection & { readonly ended: { isEnded: boolean } } => {
  const ended = { isEnded: false }
  return {
    listener: 'tls://127.0.0.1:2376',
    isAnonymous: false,
    remoteAddress: '192.0.2.7',
    serverName: undefined,
    certificate:
      pem === undefined ? undefined : { der: new X509Certificate(pem).raw, isTrusted: true },
    isGone: false,
    whenGone: [],
    ended,
    end: () => {
      ended.isEnded = true
    },
  }
}

const headOf = (fields: Readonly<Record<string, string>>): RequestHead =>
  ({
    fields: Object.entries(fields).map(([name, value]) => ({ name, value, class: 'other' })),
  }) as unknown as RequestHead

test('every credential that is shown has to be good, not only the strongest', async (t) => {
  const { registry, authority, identify } = await open(t)
  const old = await registry.add({ name: 'ann', ...OF_ALL, expiresAt: Date.now() + 700 })
  const { key, tenant } = await registry.rotate('ann', { overlap: HOUR })
  const { certificate } = await authority.issueClient(tenant, HOUR)
  const ask = async (fields: Record<string, string>, connection = connectionOf()) =>
    (await identify({ connection, head: headOf(fields) })).name
  const both = { 'x-berth-key': key, authorization: `Bearer ${old.key}` }

  const staying = connectionOf()
  t.equal(await ask(both, staying), 'ann')
  const host = `${old.key}.berth.test`
  t.equal(await ask({ 'x-berth-key': key, host }), 'ann', 'without leave for host names')
  await until(() => staying.ended.isEnded)
  t.pass('the end of the one beside ends the connection')

  const expired = { code: 'UNAUTHENTICATED', message: /expired/ }
  await t.rejects(ask(both), expired)
  await t.rejects(ask(both, staying), expired)
  await t.rejects(ask({ 'x-berth-key': key, host }), expired)
  await t.rejects(ask({ host }, connectionOf(certificate)), expired)
  t.equal(await ask({ 'x-berth-key': key }, connectionOf(certificate)), 'ann')
})

test('a certificate identifies nobody after its time, also where its connection is older', async (t) => {
  const { registry, authority, given, identify } = await open(t)
  const { tenant } = await registry.add({ name: 'ann', ...OF_ALL })
  for (const issuer of [authority, given]) {
    const { certificate, expiresAt } = await issuer.issueClient(tenant, 2000)
    const connection = connectionOf(certificate)
    const ask = async () => (await identify({ connection, head: headOf({}) })).name
    t.equal(await ask(), 'ann')
    t.equal(connection.ended.isEnded, false)
    await until(() => connection.ended.isEnded, 3000)
    t.ok(Date.now() >= expiresAt, 'not before')
    await t.rejects(ask(), { code: 'UNAUTHENTICATED', message: /no longer valid/ })
  }
})
