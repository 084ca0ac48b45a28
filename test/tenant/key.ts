/** Keys survive DNS, and nothing that is not shaped like one is taken for one. */

import fc from 'fast-check'
import { test } from 'tap'
import {
  base32,
  canonicalKey,
  isKeyShaped,
  isTenantId,
  mintKey,
  mintTenantId,
} from '../../src/tenant/key.ts'

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
