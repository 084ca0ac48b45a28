/** A secret that is kept outside the store: without it nobody can write a record that grants power, or test a key. */

import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { Failure } from '../errors.ts'
import { canonicalKey } from './key.ts'
import { createSecretFile, readSecretFile } from './secret-file.ts'

/**
 * What the secret is good for.
 *
 * A seal says who wrote a record and under which name, not when: whoever can write the store can put back a record
 * as it once was, though never make a new one.
 */
export interface Seal {
  /** The keyed hash (HMAC-SHA-256, base64url) under which a key is known. */
  hashKey(key: string): string
  /** `body` with a MAC over it and over `name`, so that no record can stand in for another. */
  close(name: string, body: string): string
  /** The body of what `close` made for the same name, or undefined for anything else. */
  open(name: string, sealed: string): string | undefined
}

const SECRET_BYTES = 32
const SECRET_SHAPE = /^[0-9a-f]{64}\n?$/
const FORMAT = 'v1'

export const createSeal = (secret: Uint8Array): Seal => {
  const derive = (purpose: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, '', `berth ${purpose}`, SECRET_BYTES))
  const keyForKeys = derive('key')
  const keyForRecords = derive('record')
  const macOf = (name: string, body: string): Buffer =>
    createHmac('sha256', keyForRecords).update(`${FORMAT}\0${name}\0`).update(body).digest()
  return {
    hashKey: (key) =>
      createHmac('sha256', keyForKeys).update(canonicalKey(key)).digest('base64url'),
    close: (name, body) => `${FORMAT}.${macOf(name, body).toString('base64url')}.${body}`,
    open: (name, sealed) => {
      const [format, mac = '', ...rest] = sealed.split('.')
      const body = rest.join('.')
      const given = Buffer.from(mac, 'base64url')
      const right = macOf(name, body)
      const isRight =
        format === FORMAT && given.length === right.length && timingSafeEqual(given, right)
      return isRight ? body : undefined
    },
  }
}

/**
 * Reads the secret at `path`, which is made on first use. Every process that shares a store needs the same one: with
 * another, no tenant is known. Throws SECRET_UNUSABLE.
 */
export const loadSeal = (path: string): Seal => {
  const make = (): string => `${randomBytes(SECRET_BYTES).toString('hex')}\n`
  const text = readSecretFile(path) ?? createSecretFile(path, make())
  if (!SECRET_SHAPE.test(text)) {
    throw new Failure('SECRET_UNUSABLE', `${path} is not a secret that berth made`)
  }
  return createSeal(Buffer.from(text.trim(), 'hex'))
}
