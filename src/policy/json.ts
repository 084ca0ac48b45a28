/** JSON held as the engine will read it: maps for objects, numbers as the text they were sent in. */

/** A number by its text: 64-bit integers do not survive a JavaScript number. */
export interface Num {
  readonly text: string
}

export type Json = null | boolean | string | Num | readonly Json[] | ReadonlyMap<string, Json>

export const num = (value: bigint | number): Num => ({ text: String(value) })

export const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value)

export const isMap = (value: Json | undefined): value is ReadonlyMap<string, Json> =>
  value instanceof Map

export const isNum = (value: Json | undefined): value is Num =>
  typeof value === 'object' && value !== null && 'text' in value

/** The value of an integer; anything that is none counts as 0, as a missing field does in Go. */
export const integer = (value: Json | undefined): bigint => (isNum(value) ? BigInt(value.text) : 0n)

/** The value of a string; anything that is none counts as empty, as a missing field does in Go. */
export const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '')

/** Berth's one spelling of a value. */
export const serialise = (value: Json): string => {
  if (isNum(value)) return value.text
  if (isMap(value)) {
    return `{${Array.from(value, ([key, member]) => `${JSON.stringify(key)}:${serialise(member)}`).join(',')}}`
  }
  if (isList(value)) return `[${value.map(serialise).join(',')}]`
  return JSON.stringify(value)
}

/** At most `limit` characters of a text, for messages. */
export const shorten = (long: string, limit = 80): string =>
  long.length <= limit ? long : `${long.slice(0, limit - 1)}…`

/**
 * One form for all names that Go's decoder takes for the same field. Beyond ASCII only U+017F (long s) and
 * U+212A (Kelvin) fold onto ASCII, and `toLowerCase` misses the first.
 */
export const fold = (name: string): string => name.toLowerCase().replaceAll('\u017f', 's')
