/** The lines of a request head -> the fields of the table; what a reader of another mind might take otherwise is refused. */
import { Failure } from '../errors.ts'
import { isAll, TOKEN, VALUE } from './ascii.ts'
import {
  REQUEST_FIELDS,
  type RequestField,
  type RequestFieldClass,
  type RequestFieldName,
} from './fields.ts'

/** HAProxy takes 101, Go 500. The busiest docker client sends 19. */
export const MAX_FIELDS = 100
/** One value: X-Registry-Config with the credentials of many registries. */
export const MAX_FIELD_BYTES = 49152

interface Row {
  readonly name: RequestFieldName
  readonly class: RequestFieldClass
  readonly front: string
}

const rowOf = ([name, row]: [string, { readonly class: RequestFieldClass }]): Row => ({
  name: name as RequestFieldName,
  class: row.class,
  front: `\r\n${name.replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase())}: `,
})
const ROWS = Object.entries(REQUEST_FIELDS).map(rowOf)
const LONGEST_NAME = Math.max(...ROWS.map(({ name }) => name.length))
/** By length of the name: few have the same, so that one is found without a string of its own. */
const ROWS_OF_LENGTH: readonly (readonly Row[])[] = Array.from(
  { length: LONGEST_NAME + 1 },
  (_, length) => ROWS.filter(({ name }) => name.length === length),
)
const NO_ROWS: readonly Row[] = []

/** Between a capital letter and its small one. */
const CASE = 0x20
const SMALL_A = 0x61
const SP = 0x20
const HTAB = 0x09

const isBlank = (code: number): boolean => code === SP || code === HTAB

/** True when `text[from, ...)` is `name`, which has no capitals, in whatever case. */
const isNamed = (text: string, from: number, name: string): boolean => {
  for (let i = 0; i < name.length; i++) {
    const code = text.charCodeAt(from + i)
    const small = name.charCodeAt(i)
    if (code !== small && (code + CASE !== small || small < SMALL_A)) return false
  }
  return true
}

const findRow = (text: string, from: number, to: number): Row | undefined => {
  const rows = ROWS_OF_LENGTH[to - from] ?? NO_ROWS
  for (let i = 0; i < rows.length; i++) if (isNamed(text, from, rows[i]!.name)) return rows[i]
  return undefined
}

const malformed = (what: string): Failure => new Failure('MALFORMED_REQUEST', what)

/** Without the white space around it. */
export const trimmed = (text: string, from: number, to: number): string => {
  let start = from
  let end = to
  // SP and HTAB only (RFC 9110 5.6.3): trim() would eat VT, FF and NBSP too
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

/** An underscore alias of a known field (CGI stacks take `Content_Length` for Content-Length) is refused, not dropped. */
const isAlias = (name: string): boolean =>
  name.includes('_') && findRow(name.replaceAll('_', '-'), 0, name.length) !== undefined

/** Where the line at `from` ends. */
export const endOfLine = (text: string, from: number): number => {
  const eol = text.indexOf('\r\n', from)
  return eol === -1 ? text.length : eol
}

const parseField = (text: string, from: number, to: number): RequestField | undefined => {
  const colon = text.indexOf(':', from)
  if (colon <= from || colon >= to) throw malformed('header field name')
  const row = findRow(text, from, colon)
  // RFC 9112 5.1: no white space before the colon; 5.2: no line folding
  if (row === undefined && !isAll(text, TOKEN, from, colon)) throw malformed('header field name')
  if (to - colon > MAX_FIELD_BYTES) throw new Failure('HEAD_TOO_LARGE')
  if (!isAll(text, VALUE, colon + 1, to)) throw malformed('header field value')
  if (row === undefined) {
    const name = text.slice(from, colon)
    if (isAlias(name)) throw malformed(`header field ${name.toLowerCase()}`)
    return undefined
  }
  const value = trimmed(text, colon + 1, to)
  return { name: row.name, class: row.class, front: row.front, value }
}

const REPEATING: ReadonlySet<string> = new Set(
  Object.entries(REQUEST_FIELDS).flatMap(([name, row]) => ('repeats' in row ? [name] : [])),
)

const refuseRepeated = (
  fields: readonly RequestField[],
  count: number,
  field: RequestField,
): void => {
  for (let i = 0; i < count; i++)
    if (fields[i]!.name === field.name && !REPEATING.has(field.name)) {
      if (field.name === 'transfer-encoding') throw new Failure('UNKNOWN_TRANSFER_CODING')
      throw malformed(`more than one ${field.name}`)
    }
}

/**
 * The fields of the table among the lines of `text[from, ...)`, put into `fields` behind the first `count`.
 * @param lines how many stand before `from`
 * @returns `fields`, with nothing behind them
 * @throws Failure
 */
export const parseFields = (
  text: string,
  from: number,
  fields: RequestField[] = [],
  count = 0,
  lines = 0,
): RequestField[] => {
  let found = count
  let line = lines
  for (let at = from; at < text.length; ) {
    const end = endOfLine(text, at)
    if (++line > MAX_FIELDS)
      throw new Failure('HEAD_TOO_LARGE', `more than ${MAX_FIELDS} header fields`)
    const field = parseField(text, at, end)
    if (field !== undefined) {
      refuseRepeated(fields, found, field)
      fields[found++] = field
    }
    at = end + 2
  }
  if (fields.length > found) fields.length = found
  return fields
}
