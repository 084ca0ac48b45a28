/** The keys that tenants show: 128 random bits in lower-case base32, because they have to survive DNS. */

import { randomBytes } from 'node:crypto'

/** RFC 4648, section 6, in lower case. */
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

const KEY_BYTES = 16
const ID_BYTES = 10

const KEY_SHAPE = /^[a-z2-7]{26}$/i
const KEY_LENGTH = 26
const ID_SHAPE = /^[a-z2-7]{16}$/

/** Base32 without padding; the last character is filled up with zero bits. */
export const base32 = (bytes: Uint8Array): string => {
  let text = ''
  let pending = 0
  let bits = 0
  for (const byte of bytes) {
    pending = (pending << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += ALPHABET.charAt((pending >> bits) & 31)
    }
    pending &= (1 << bits) - 1
  }
  return bits > 0 ? text + ALPHABET.charAt((pending << (5 - bits)) & 31) : text
}

export const mintKey = (): string => base32(randomBytes(KEY_BYTES))

export const mintTenantId = (): string => base32(randomBytes(ID_BYTES))

export const isTenantId = (text: string): boolean => ID_SHAPE.test(text)

/**
 * Whether a text claims to be a key. Only such a text is a credential, good or bad; any other is none at all.
 * Every 26 characters of the alphabet count, also those that no key can end with: a mistyped key is a wrong key.
 */
export const isKeyShaped = (text: string): boolean =>
  text.length === KEY_LENGTH && KEY_SHAPE.test(text)

/** The one spelling of a key: DNS and several clients change the case of names. */
export const canonicalKey = (text: string): string => text.toLowerCase()
