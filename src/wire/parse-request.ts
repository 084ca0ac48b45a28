/** Text of a request head -> RequestHead. Strictly narrower than Go's net/http: what it might read otherwise is refused. */
import { Failure } from '../errors.ts'
import { isAll, TARGET, TOKEN, VALUE } from './ascii.ts'
import {
  REQUEST_FIELDS,
  type RequestField,
  type RequestFieldClass,
  type RequestFieldName,
} from './fields.ts'
import { requestFraming } from './framing.ts'
import type { RequestHead } from './head.ts'

/** HAProxy takes 101, Go 500. The busiest docker client sends 19. */
export const MAX_FIELDS = 100
/** One value: X-Registry-Config with the credentials of many registries. */
export const MAX_FIELD_BYTES = 49152

/** What an engine serves, the usual ones first; every other method is refused by name. */
const METHODS = ['GET', 'POST', 'HEAD', 'DELETE', 'PUT', 'OPTIONS'] as const

/** `Connection` options that mean something or nothing here; any other could name a field to drop, which RFC 9110 7.6.1 would obey. */
const CONNECTION_OPTIONS: ReadonlySet<string> = new Set([
  'close',
  'keep-alive',
  'upgrade',
  'te',
  'http2-settings',
])

/** A host name, IPv4 address, bracketed IPv6 address or percent-encoded socket path, with or without a port; or nothing. */
const HOST = /^(?:(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/

interface Row {
  readonly name: RequestFieldName
  readonly class: RequestFieldClass
  readonly spelling: string
}

const rowOf = ([name, row]: [string, { readonly class: RequestFieldClass }]): Row => ({
  name: name as RequestFieldName,
  class: row.class,
  spelling: name.replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase()),
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

const trimmed = (text: string, from: number, to: number): string => {
  let start = from
  let end = to
  // SP and HTAB only (RFC 9110 5.6.3): trim() would eat VT, FF and NBSP too
  while (start < end && (text.charCodeAt(start) === 32 || text.charCodeAt(start) === 9)) start++
  while (end > start && (text.charCodeAt(end - 1) === 32 || text.charCodeAt(end - 1) === 9)) end--
  return text.slice(start, end)
}

/** An underscore alias of a known field (CGI stacks take `Content_Length` for Content-Length) is refused, not dropped. */
const isAlias = (name: string): boolean =>
  name.includes('_') && findRow(name.replaceAll('_', '-'), 0, name.length) !== undefined

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
  return { name: row.name, class: row.class, spelling: row.spelling, value }
}

const REPEATING: ReadonlySet<string> = new Set(
  Object.entries(REQUEST_FIELDS).flatMap(([name, row]) => ('repeats' in row ? [name] : [])),
)

const refuseRepeated = (fields: readonly RequestField[], field: RequestField): void => {
  for (let i = 0; i < fields.length; i++)
    if (fields[i]!.name === field.name && !REPEATING.has(field.name)) {
      if (field.name === 'transfer-encoding') throw new Failure('UNKNOWN_TRANSFER_CODING')
      throw malformed(`more than one ${field.name}`)
    }
}

/** The known fields among the lines of `text[from, ...)`. */
const parseFields = (text: string, from: number): RequestField[] => {
  const fields: RequestField[] = []
  let count = 0
  for (let at = from; at < text.length; ) {
    const eol = text.indexOf('\r\n', at)
    const end = eol === -1 ? text.length : eol
    if (++count > MAX_FIELDS)
      throw new Failure('HEAD_TOO_LARGE', `more than ${MAX_FIELDS} header fields`)
    const field = parseField(text, at, end)
    if (field !== undefined) {
      refuseRepeated(fields, field)
      fields.push(field)
    }
    at = end + 2
  }
  return fields
}

/** What the fields of a head say about the connection, gathered in one pass. */
interface Meaning {
  close: boolean
  keepAlive: boolean
  upgradeOption: boolean
  host: string | undefined
  upgrade: string | undefined
  expect: string | undefined
  contentLength: string | undefined
  transferEncoding: string | undefined
}

const readConnection = (value: string, meaning: Meaning): void => {
  for (const part of value.split(',')) {
    const option = trimmed(part, 0, part.length).toLowerCase()
    if (option !== '' && !CONNECTION_OPTIONS.has(option)) throw malformed(`Connection: ${option}`)
    if (option === 'close') meaning.close = true
    else if (option === 'keep-alive') meaning.keepAlive = true
    else if (option === 'upgrade') meaning.upgradeOption = true
  }
}

const read = (fields: readonly RequestField[]): Meaning => {
  const meaning: Meaning = {
    close: false,
    keepAlive: false,
    upgradeOption: false,
    host: undefined,
    upgrade: undefined,
    expect: undefined,
    contentLength: undefined,
    transferEncoding: undefined,
  }
  for (let i = 0; i < fields.length; i++) {
    const { name, value } = fields[i]!
    if (name === 'host') meaning.host = value
    else if (name === 'connection') readConnection(value, meaning)
    else if (name === 'content-length') meaning.contentLength = value
    else if (name === 'transfer-encoding') meaning.transferEncoding = value
    else if (name === 'upgrade') meaning.upgrade = value
    else if (name === 'expect') meaning.expect = value
    else if (name === 'trailer') throw malformed('trailers are not served')
  }
  return meaning
}

const expectsContinue = (expect: string | undefined, minor: 0 | 1, hasBody: boolean): boolean => {
  if (expect === undefined) return false
  // RFC 9110 10.1.1: HTTP/1.0 has no expectations; a server must not act on one, and this one refuses
  if (minor === 0 || expect.toLowerCase() !== '100-continue')
    throw new Failure('EXPECTATION_FAILED')
  return hasBody
}

const minorAt = (text: string, at: number): 0 | 1 | undefined => {
  if (text.startsWith(' HTTP/1.1', at)) return 1
  return text.startsWith(' HTTP/1.0', at) ? 0 : undefined
}

/** The method in front of `end`: always the same string, whose hash is known. */
const methodOf = (text: string, end: number): string | undefined => {
  for (const method of METHODS) if (method.length === end && text.startsWith(method)) return method
  return undefined
}

/** What nearly every docker client says needs no match. */
const isHost = (value: string): boolean => value === 'localhost' || HOST.test(value)

/**
 * @param text a head without its final empty line, lines ended by CRLF (what HeadReader cuts)
 * @throws Failure with the status to answer; nothing behind such a head may be read
 */
export const parseRequestHead = (text: string): RequestHead => {
  const eol = text.indexOf('\r\n')
  const lineEnd = eol === -1 ? text.length : eol
  // RFC 9112 3: method SP request-target SP HTTP-version, and exactly one SP each
  const methodEnd = text.indexOf(' ')
  const targetEnd = lineEnd - 9
  if (methodEnd < 1 || targetEnd <= methodEnd + 1) throw malformed('request line')
  const minor = minorAt(text, targetEnd)
  if (minor === undefined) throw malformed('HTTP version or request line')
  const method = methodOf(text, methodEnd)
  if (method === undefined) throw malformed('method not served')
  // 3.2: absolute, authority and asterisk form are for proxies and servers; engines are asked in origin form
  if (text.charCodeAt(methodEnd + 1) !== 0x2f || !isAll(text, TARGET, methodEnd + 1, targetEnd))
    throw malformed('request target')

  const fields = parseFields(text, lineEnd + 2)
  const meaning = read(fields)
  // 3.2: exactly one Host, which may be empty: buildx leaves it so
  if (meaning.host === undefined ? minor === 1 : !isHost(meaning.host)) throw malformed('Host')
  const framing = requestFraming(method, minor, meaning.contentLength, meaning.transferEncoding)
  return {
    method,
    target: text.slice(methodEnd + 1, targetEnd),
    minor,
    fields,
    framing,
    keepAlive: minor === 1 && !meaning.close,
    upgrade: minor === 1 && meaning.upgradeOption ? meaning.upgrade : undefined,
    expectsContinue: expectsContinue(meaning.expect, minor, framing.kind !== 'none'),
  }
}
