/** Does a JSON value fit what the engine decodes it into? Go refuses what does not, and so does berth. */
import type { Shape } from './table.ts'

export type Kind = 'string' | 'bool' | 'int' | 'null' | 'object' | 'list'

/** For messages: X has to be ... */
export const SHOULD_BE = {
  string: 'a string',
  bool: 'true or false',
  int: 'a whole number',
  list: 'a list',
  map: 'an object',
  struct: 'an object',
} as const satisfies Record<Shape['is'], string>

export const fits = (shape: Shape, kind: Kind): boolean => {
  if (kind === 'null') return true
  if (kind === 'object') return shape.is === 'struct' || shape.is === 'map'
  return shape.is === kind
}

const DIGITS = /^-?(?:0|[1-9]\d{0,18})$/
const MAX = 2n ** 63n - 1n
const MIN = -(2n ** 63n)

/** Go's integers take neither 1e3 nor 1.0. */
export const isInt64 = (text: string): boolean => {
  if (!DIGITS.test(text)) return false
  const value = BigInt(text)
  return value >= MIN && value <= MAX
}
