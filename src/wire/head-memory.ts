/** What the heads of one connection have in common: a client says the same of itself with every request. */
import type { RequestField } from './fields.ts'
import { Front } from './front.ts'
import { endOfLine, parseFields } from './parse-fields.ts'

/**
 * Longer heads carry credentials of registries, and come once: they are to be read without a memory, which keeps parts of
 * texts, and with them the whole texts, for as long as the connection lives.
 */
export const LONGEST_REMEMBERED = 1024
/** Who says something else each time is not listened to for ever. */
const LESSONS = 8

/** True when `line` stands at `text[from]`, and nothing more in that line; it may be several with CRLF between them. */
const isLine = (text: string, from: number, line: string): boolean => {
  const end = from + line.length
  return text.slice(from, end) === line && (end === text.length || text.startsWith('\r\n', end))
}

/** The lines that both texts begin with, CRLF between them. */
const commonLines = (one: string, other: string): string => {
  let end = 0
  for (let at = 0; at < one.length; at = end + 2) {
    const next = endOfLine(one, at)
    if (!isLine(other, at, one.slice(at, next))) break
    end = next
  }
  return one.slice(0, end)
}

export class HeadMemory {
  /** The request line of the last head, good as it is. */
  method = ''
  target = ''
  minor: 0 | 1 = 1
  /** That line and the known ones, where the last two heads began with both. */
  readonly front = new Front(LONGEST_REMEMBERED)
  /** What stands below the request line in every head, or nothing. */
  #lines = ''
  #lineCount = 0
  #fieldCount = 0
  /** Of the last head that began with those lines: a copy has room for just so many fields, and most of them stay. */
  #fields: readonly RequestField[] = []
  /** The lines of the last head that did not. */
  #others = ''
  #lessons = 0

  /** Notes a request line; true when it was the last one's too. */
  asksAgain(method: string, target: string, minor: 0 | 1): boolean {
    if (target === this.target && method === this.method && minor === this.minor) return true
    this.method = method
    this.target = target
    this.minor = minor
    this.front.clear()
    return false
  }

  /**
   * What `parseFields` makes of the lines of `text[from, ...)`.
   * @param asksAgain whether the request line above them was the last one's too
   * @throws Failure
   */
  fields(text: string, from: number, asksAgain: boolean): readonly RequestField[] {
    if (this.#lines === '' || !isLine(text, from, this.#lines)) {
      const fields = parseFields(text, from)
      if (this.#lessons < LESSONS) this.#learn(text.slice(from))
      return fields
    }
    const next = from + this.#lines.length + 2
    if (asksAgain && this.front.length === 0 && next < text.length)
      this.front.set(text.slice(0, next))
    return this.#fieldsFrom(text, next)
  }

  /**
   * The same, for the lines that stand behind the front.
   * @throws Failure
   */
  fieldsBehindFront(text: string): readonly RequestField[] {
    return this.#fieldsFrom(text, 0)
  }

  #fieldsFrom(text: string, from: number): readonly RequestField[] {
    const fields = this.#fields.slice()
    this.#fields = parseFields(text, from, fields, this.#fieldCount, this.#lineCount)
    return this.#fields
  }

  /** From the second head on: many connections carry but one. */
  #learn(lines: string): void {
    if (this.#lessons++ > 0) this.#know(commonLines(this.#others, lines))
    this.#others = lines
  }

  #know(lines: string): void {
    this.front.clear()
    this.#lines = lines
    this.#fields = parseFields(lines, 0)
    this.#fieldCount = this.#fields.length
    this.#lineCount = lines.split('\r\n').length
  }
}
