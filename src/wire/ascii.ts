/** Byte classes of HTTP/1.1 grammar, one 256-entry table of named bits. */

/** `tchar` of RFC 9110 5.6.2: what names and methods are made of. */
export const TOKEN = 1
/** What a field value may hold here: HTAB and visible ASCII with SP. Narrower than RFC 9110 5.5, which lets 80-FF pass. */
export const VALUE = 2
/** What a request target may hold: visible ASCII without `" # < > \ ^ { | }` and the backtick. */
export const TARGET = 4
export const HEX = 8

const fill = (table: Uint8Array, bit: number, bytes: string): void => {
  for (let i = 0; i < bytes.length; i++) table[bytes.charCodeAt(i)]! |= bit
}

const visible = Array.from({ length: 0x7f - 0x21 }, (_, i) => String.fromCharCode(0x21 + i)).join(
  '',
)
const alphanumeric = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

const table = new Uint8Array(256)
fill(table, TOKEN, `${alphanumeric}!#$%&'*+-.^_\`|~`)
fill(table, VALUE, `\t ${visible}`)
fill(table, TARGET, [...visible].filter((char) => !'"#<>\\^`{|}'.includes(char)).join(''))
fill(table, HEX, '0123456789ABCDEFabcdef')

export const BYTE_CLASS: Readonly<Uint8Array> = table

/** True when every character of `text[from, to)` is of `bit`'s class; false where it is no byte at all. */
export const isAll = (text: string, bit: number, from = 0, to = text.length): boolean => {
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i)
    if (code > 255 || (BYTE_CLASS[code]! & bit) === 0) return false
  }
  return true
}
