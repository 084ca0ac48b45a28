/** Reads chosen fields of a protobuf message. Strictly narrower than Go's decoders: what they might read otherwise is refused. */
import { Failure } from '../errors.ts'

/** https://protobuf.dev/programming-guides/encoding: wire types. The two for groups are refused: BuildKit has none. */
const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

/** protobuf's own bound. Go's generated decoders keep the low 32 bits of a longer number, and so would take it for another field. */
const MAX_FIELD = (1 << 29) - 1

/** Fields of one message, whose map entries are one each: a build of hundreds of arguments has hundreds. */
const MAX_FIELDS = 65_536
/** Values of one field that is read. */
const MAX_VALUES = 256

const malformed = (what: string): Failure =>
  new Failure('MALFORMED_BODY', `the build request is not plain protobuf: ${what}`)

interface Cursor {
  readonly bytes: Uint8Array
  at: number
}

const byteAt = (cursor: Cursor): number => {
  const byte = cursor.bytes[cursor.at++]
  if (byte === undefined) throw malformed('it ends too early')
  return byte
}

/** A varint below 2^53, in as few bytes as it needs: several spellings of one number are several readings. */
const readVarint = (cursor: Cursor): number => {
  let value = 0
  for (let shift = 0; shift < 49; shift += 7) {
    const byte = byteAt(cursor)
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) {
      if (byte === 0 && shift > 0) throw malformed('a number with leading zeros')
      return value
    }
  }
  throw malformed('a number is too long')
}

/** A value of ten bytes at most, which is not looked at. */
const skipVarint = (cursor: Cursor): void => {
  for (let i = 0; i < 10; i++) if (byteAt(cursor) < 0x80) return
  throw malformed('a number is too long')
}

const take = (cursor: Cursor, length: number): Uint8Array => {
  const end = cursor.at + length
  if (end > cursor.bytes.length) throw malformed('it ends too early')
  const taken = cursor.bytes.subarray(cursor.at, end)
  cursor.at = end
  return taken
}

const skip = (cursor: Cursor, type: number): void => {
  if (type === VARINT) skipVarint(cursor)
  else if (type === FIXED64) take(cursor, 8)
  else if (type === FIXED32) take(cursor, 4)
  else throw malformed('a group')
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const readText = (bytes: Uint8Array): string => {
  try {
    return utf8.decode(bytes)
  } catch (error) {
    throw malformed(`text that is not UTF-8 (${(error as Error).name})`)
  }
}

const keep = (found: Map<number, string[]>, field: number, value: string): void => {
  const values = found.get(field)
  if (values === undefined) found.set(field, [value])
  else if (values.push(value) > MAX_VALUES)
    throw malformed(`more than ${MAX_VALUES} values of field ${field}`)
}

/** Visits the values of fields that are text, bytes or messages; all others have to be well-formed, and are skipped. */
const visit = (
  message: Uint8Array,
  wanted: ReadonlySet<number>,
  onValue: (field: number, value: Uint8Array) => void,
): void => {
  const cursor: Cursor = { bytes: message, at: 0 }
  for (let count = 0; cursor.at < message.length; count++) {
    if (count === MAX_FIELDS) throw malformed(`more than ${MAX_FIELDS} fields`)
    const tag = readVarint(cursor)
    const field = Math.floor(tag / 8)
    const type = tag % 8
    if (field === 0 || field > MAX_FIELD) throw malformed('a field number out of range')
    if (type === BYTES) {
      const bytes = take(cursor, readVarint(cursor))
      if (wanted.has(field)) onValue(field, bytes)
      continue
    }
    if (wanted.has(field)) throw malformed('a text field of another type')
    skip(cursor, type)
  }
}

/**
 * @param wanted numbers of fields that are text; every value of one is returned, in order
 * @throws Failure MALFORMED_BODY
 */
export const readFields = (
  message: Uint8Array,
  wanted: ReadonlySet<number>,
): ReadonlyMap<number, readonly string[]> => {
  const found = new Map<number, string[]>()
  visit(message, wanted, (field, value) => keep(found, field, readText(value)))
  return found
}

/** An entry of a map is a message of these two. */
const KEY = 1
const VALUE = 2
const ENTRY: ReadonlySet<number> = new Set([KEY, VALUE])

/**
 * @param field the number of a field that is a map of text to text; of a key that is there twice the last value counts
 * @throws Failure MALFORMED_BODY
 */
export const readMap = (message: Uint8Array, field: number): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  visit(message, new Set([field]), (_, entry) => {
    const members = readFields(entry, ENTRY)
    found.set(members.get(KEY)?.at(-1) ?? '', members.get(VALUE)?.at(-1) ?? '')
  })
  return found
}
