/** JSON that has one meaning only, whoever reads it. */

export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json }

export const MAX_DEPTH = 32

const STRUCTURAL = /"(?:[^"\\]|\\.)*"|[[\]{}:]/g
const LONE_SURROGATE = /\p{Surrogate}/u

/**
 * The value of `text`, or undefined where readers could disagree on it or be hurt by it: not JSON (RFC 8259),
 * a key twice in one object, half a surrogate pair, more than 32 levels.
 */
export const strictJson = (text: string): Json | undefined => {
  try {
    const value: Json = JSON.parse(text)
    return isUnambiguous(text) ? value : undefined
  } catch {
    return undefined
  }
}

/** Looks at nothing but strings and brackets: that `text` is JSON is known by now. */
const isUnambiguous = (text: string): boolean => {
  const open: Set<string>[] = [] // the keys seen at each level; an array's stay empty
  let last = ''
  for (const [token] of text.matchAll(STRUCTURAL)) {
    switch (token) {
      case '{':
      case '[':
        if (open.push(new Set()) > MAX_DEPTH) return false
        break
      case '}':
      case ']':
        open.pop()
        break
      case ':':
        if (isRepeated(last, open.at(-1))) return false
        break
      default:
        last = JSON.parse(token)
        if (LONE_SURROGATE.test(last)) return false
    }
  }
  return true
}

/** Notes a key among those of its object; true if it was there already. */
const isRepeated = (key: string, seen: Set<string> | undefined): boolean => {
  if (seen?.has(key)) return true
  seen?.add(key)
  return false
}
