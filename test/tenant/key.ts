/** Keys survive DNS, and nothing that is not shaped like one is taken for one. */

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { admit } from '../../src/accept/admit.ts'
import { Failure } from '../../src/errors.ts'
import type { Connection } from '../../src/exchange.ts'
import { match } from '../../src/route/match.ts'
import {
  base32,
  canonicalKey,
  isKeyShaped,
  isTenantId,
  mintKey,
  mintTenantId,
} from '../../src/tenant/key.ts'
import { parseRequestHead } from '../../src/wire/parse-request.ts'

test('base32 gives the vectors of RFC 4648 in lower case without padding', async (t) => {
  const vectors = {
    '': '',
    f: 'my',
    fo: 'mzxq',
    foo: 'mzxw6',
    foob: 'mzxw6yq',
    fooba: 'mzxw6ytb',
    foobar: 'mzxw6ytboi',
  }
  for (const [text, encoded] of Object.entries(vectors)) {
    t.equal(base32(Buffer.from(text)), encoded)
  }
})

test('no two byte strings of one length have the same base32', async (t) => {
  const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 })
  const property = fc.property(bytes, bytes, (a, b) => {
    return (base32(a) === base32(b)) === (Buffer.compare(a, b) === 0)
  })
  t.doesNotThrow(() => fc.assert(property))
})

test('a key is 26 characters of lower-case base32, and each is another', async (t) => {
  const keys = Array.from({ length: 1000 }, mintKey)
  t.ok(keys.every((key) => /^[a-z2-7]{25}[aeimquy4]$/.test(key)))
  t.equal(new Set(keys).size, keys.length)
})

test('a key is shaped like a key in any case; names, ids and tokens are not', async (t) => {
  t.ok(isKeyShaped(mintKey()))
  t.ok(isKeyShaped(mintKey().toUpperCase()))
  t.ok(isKeyShaped(`${mintKey().slice(0, 25)}z`), 'a mistyped key is a wrong key, not no key')
  for (const text of [
    '',
    'localhost',
    mintTenantId(),
    mintKey().slice(1),
    `${mintKey()}a`,
    `${'a'.repeat(25)}1`,
    `${mintKey()}\n`,
  ]) {
    t.notOk(isKeyShaped(text), JSON.stringify(text))
  }
  t.equal(canonicalKey(mintKey().toUpperCase()).length, 26)
})

test('an id is not shaped like a key', async (t) => {
  t.ok(isTenantId(mintTenantId()))
  t.notOk(isTenantId(mintKey()))
})

test('no failure shows a key, wherever a client has put it', async (t) => {
  const key = mintKey()
  for (const text of [
    key,
    `${key.toUpperCase()}.berth.test. An`,
    `"${key}"`,
    `a ${key}=1 b`,
    `/${key}/`,
  ]) {
    const { message } = new Failure('HOST_NOT_SERVED', text)
    t.notMatch(message.toLowerCase(), key)
    t.match(message, '(what looks like a key)')
  }
  const digest = createHash('sha256').update(key).digest('hex')
  for (const text of [digest, `a${key}`, `${key}0`])
    t.match(new Failure('HOST_NOT_SERVED', text).message, text, 'longer words are none')
})

test('a key in a host name that is not served, or in a query, is not told', async (t) => {
  const key = mintKey()
  const connection = { listener: 'tcp://127.0.0.1:2375', isAnonymous: true } as Connection
  const head = parseRequestHead(`GET /_ping HTTP/1.1\r\nHost: ${key}.berth.test`)
  const refused = [
    () => admit(head, connection, new Set()),
    () => match('GET', `/v1.51/containers/json?${key}=1`),
    () => match('GET', `/v1.51/containers/json?limit=1&limit=${key}`),
  ]
  for (const refuse of refused) {
    const error = t.throws(refuse) as Failure
    t.notMatch(String(error.cause ?? '') + error.message, key)
  }
})
