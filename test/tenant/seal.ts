/** The secret outside the store: what it seals cannot be forged, and its file is nobody else's. */

import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'tap'
import { mintKey } from '../../src/tenant/key.ts'
import { createSeal, loadSeal } from '../../src/tenant/seal.ts'
import { createSecretFile, replaceSecretFile } from '../../src/tenant/secret-file.ts'

const seal = createSeal(Buffer.alloc(32, 1))
const other = createSeal(Buffer.alloc(32, 2))

test('what was sealed is read back, under its own name and with the same secret only', async (t) => {
  const property = fc.property(fc.string(), fc.string(), fc.string(), (name, body, wrong) => {
    const sealed = seal.close(name, body)
    return (
      seal.open(name, sealed) === body &&
      other.open(name, sealed) === undefined &&
      (wrong === name || seal.open(wrong, sealed) === undefined)
    )
  })
  t.doesNotThrow(() => fc.assert(property))
})

test('no change to a sealed record goes unnoticed', async (t) => {
  const sealed = seal.close('tenant/a', '{"name":"a"}')
  const property = fc.property(fc.nat(sealed.length - 1), fc.nat(127), (at, code) => {
    const changed = sealed.slice(0, at) + String.fromCharCode(code) + sealed.slice(at + 1)
    const opened = seal.open('tenant/a', changed)
    return opened === undefined || opened === '{"name":"a"}'
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }))
  t.equal(seal.open('tenant/a', ''), undefined)
  t.equal(seal.open('tenant/a', 'v1..{"name":"a"}'), undefined)
  t.equal(seal.open('tenant/a', '{"name":"a"}'), undefined)
})

test('the hash of a key needs the secret and does not see its case', async (t) => {
  const key = mintKey()
  t.equal(seal.hashKey(key), seal.hashKey(key.toUpperCase()))
  t.not(seal.hashKey(key), other.hashKey(key))
  t.match(seal.hashKey(key), /^[\w-]{43}$/)
  t.notMatch(seal.hashKey(key), key)
})

test('the secret is made on first use, for its owner only, and stays', async (t) => {
  const path = join(t.testdir(), 'deep', 'secret')
  const first = loadSeal(path)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
  t.equal(loadSeal(path).hashKey('k'), first.hashKey('k'))
})

test('of several processes that make a secret file at once, all read what the first one made', async (t) => {
  const path = join(t.testdir(), 'secret')
  t.equal(createSecretFile(path, 'first'), 'first')
  t.equal(createSecretFile(path, 'second'), 'first')
  replaceSecretFile(path, 'third')
  t.equal(readFileSync(path, 'utf8'), 'third')
  t.equal(statSync(path).mode & 0o777, 0o600)
})

test('a secret that others can read, or that is none, is refused with the cure', async (t) => {
  const path = join(t.testdir(), 'secret')
  loadSeal(path)
  chmodSync(path, 0o644)
  t.throws(() => loadSeal(path), { code: 'SECRET_UNUSABLE', message: /chmod 600/ })
  chmodSync(path, 0o600)
  writeFileSync(path, 'too short')
  t.throws(() => loadSeal(path), {
    code: 'SECRET_UNUSABLE',
    message: /not a secret that berth made/,
  })
  t.throws(() => loadSeal('/dev/null/secret'), { code: 'SECRET_UNUSABLE', message: /\/dev\/null/ })
})
