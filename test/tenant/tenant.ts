/** Which words may describe a tenant, and what a credential is worth by his record. */

import { test } from 'tap'
import { mintKey } from '../../src/tenant/key.ts'
import {
  type Credential,
  checkHostKey,
  checkLabel,
  checkName,
  checkWord,
  nextExpiry,
  type Standing,
  standing,
  type Tenant,
} from '../../src/tenant/tenant.ts'

const NOW = 1_000_000

const tenant: Tenant = {
  id: 'abcdefghijklmnop',
  name: 'a',
  endpoint: 'local',
  policy: 'dedicated',
  plan: 'small',
  disabled: false,
  createdAt: 0,
  certificateEpoch: 3,
  hostKey: { cidrs: ['192.0.2.0/24', '2001:db8::/32'], expiresAt: NOW + 10 },
  keys: [
    { hash: 'good', label: 'x', createdAt: 0 },
    { hash: 'ending', label: 'x', createdAt: 0, expiresAt: NOW + 1 },
    { hash: 'over', label: 'x', createdAt: 0, expiresAt: NOW },
  ],
}

const { hostKey: _, ...withoutHostKey } = tenant
const key = (hash: string): Credential => ({ kind: 'key', hash })
const certificate = (epoch: number, expiresAt = NOW + 1): Credential => ({
  kind: 'certificate',
  epoch,
  expiresAt,
})
const hostKey = (hash: string, address: string): Credential => ({ kind: 'host key', hash, address })

const VERDICTS: readonly [string, Tenant | undefined, Credential, Standing][] = [
  ['a key', tenant, key('good'), 'good'],
  ['a key that ends later', tenant, key('ending'), 'good'],
  ['a key that ended just now', tenant, key('over'), 'expired'],
  ['a key that was taken away', tenant, key('other'), 'revoked'],
  ['a key of a disabled tenant', { ...tenant, disabled: true }, key('good'), 'disabled'],
  ['a key of a removed tenant', undefined, key('good'), 'revoked'],
  ['a host key from a listed network', tenant, hostKey('good', '192.0.2.7'), 'good'],
  ['a host key from there, as IPv6 says it', tenant, hostKey('good', '::ffff:192.0.2.7'), 'good'],
  ['a host key from a listed IPv6 network', tenant, hostKey('good', '2001:db8::1'), 'good'],
  ['a host key from elsewhere', tenant, hostKey('good', '198.51.100.1'), 'revoked'],
  ['a host key from nowhere', tenant, hostKey('good', ''), 'revoked'],
  ['a host key without leave', withoutHostKey, hostKey('good', '192.0.2.7'), 'revoked'],
  ['an expired key as host key', tenant, hostKey('over', '192.0.2.7'), 'expired'],
  ['a host key from anywhere', { ...tenant, hostKey: {} }, hostKey('good', '203.0.113.9'), 'good'],
  [
    'a host key after its time',
    { ...tenant, hostKey: { expiresAt: NOW } },
    hostKey('good', '192.0.2.7'),
    'expired',
  ],
  ['a certificate of this epoch', tenant, certificate(3), 'good'],
  ['a certificate of an earlier epoch', tenant, certificate(2), 'revoked'],
  ['a certificate that ended just now', tenant, certificate(3, NOW), 'expired'],
]

for (const [what, record, credential, verdict] of VERDICTS) {
  test(`${what} is ${verdict}`, async (t) => {
    t.equal(standing(record, credential, NOW), verdict)
  })
}

test('the next expiry is the nearest that is still to come', async (t) => {
  t.equal(nextExpiry(tenant, NOW), NOW + 1)
  t.equal(nextExpiry(tenant, NOW + 1), NOW + 10)
  t.equal(nextExpiry(tenant, NOW + 10), undefined)
})

test('names are DNS labels that nobody can take for a key', async (t) => {
  for (const name of ['a', 'a-1', '0', 'a'.repeat(40)]) t.doesNotThrow(() => checkName(name), name)
  for (const name of ['', 'A', '-a', 'a-', 'a.b', 'a/b', 'ä', 'a\n', 'a'.repeat(41), mintKey()]) {
    t.throws(() => checkName(name), { code: 'TENANT_INVALID' }, JSON.stringify(name))
  }
})

test('endpoints, policies, plans, labels and networks are checked', async (t) => {
  t.doesNotThrow(() => checkWord('endpoint', 'vm.Pool-1'))
  t.throws(() => checkWord('policy', '../x'), { message: /the policy "\.\.\/x"/ })
  t.throws(() => checkWord('plan', ''), { message: /the plan ""/ })
  t.doesNotThrow(() => checkLabel("Ann's laptop"))
  t.throws(() => checkLabel('a\nb'), { code: 'TENANT_INVALID' })
  t.doesNotThrow(() => checkHostKey({ cidrs: ['10.0.0.0/8', '::/0'], expiresAt: 5 }))
  t.throws(() => checkHostKey({ cidrs: ['10.0.0.1'] }), { message: /10\.0\.0\.1.*no network/ })
  t.throws(() => checkHostKey({ expiresAt: Number.NaN }), { message: /no point in time/ })
})
