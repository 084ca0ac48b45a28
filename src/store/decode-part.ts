/** The text that a part of a store's URL stands for. */

import { Failure } from '../errors.ts'

/** Undoes percent-encoding. Throws STORE_URL, which names the part and not what it says: that may be a password. */
export const decodePart = (part: string, text: string): string => {
  try {
    const plain = decodeURIComponent(text)
    if (!plain.includes('\0')) return plain
  } catch {
    // told below
  }
  throw new Failure('STORE_URL', `its ${part} holds an escape that is none; write "%" as %25`)
}
