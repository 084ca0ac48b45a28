/** Text of a request head -> RequestHead. Strictly narrower than Go's net/http: what it might read otherwise is refused. */
import { Failure } from '../errors.ts'
import { isAll, TARGET } from './ascii.ts'
import type { RequestField } from './fields.ts'
import { requestFraming } from './framing.ts'
import type { RequestHead } from './head.ts'
import { type HeadMemory, LONGEST_REMEMBERED } from './head-memory.ts'
import { endOfLine, parseFields, trimmed } from './parse-fields.ts'
import type { HeadReader } from './read-head.ts'

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

const SLASH = 0x2f

const malformed = (what: string): Failure => new Failure('MALFORMED_REQUEST', what)

/** What the fields of a head say about the connection, gathered in one pass. */
interface Meaning {
  /** Of `Connection`. */
  options: readonly string[]
  host: string | undefined
  upgrade: string | undefined
  expect: string | undefined
  contentLength: string | undefined
  transferEncoding: string | undefined
}

const NO_OPTIONS: readonly string[] = []

const optionsIn = (value: string): readonly string[] =>
  value.split(',').map((part) => {
    const option = trimmed(part, 0, part.length).toLowerCase()
    if (option !== '' && !CONNECTION_OPTIONS.has(option)) throw malformed(`Connection: ${option}`)
    return option
  })

const read = (fields: readonly RequestField[]): Meaning => {
  const meaning: Meaning = {
    options: NO_OPTIONS,
    host: undefined,
    upgrade: undefined,
    expect: undefined,
    contentLength: undefined,
    transferEncoding: undefined,
  }
  for (let i = 0; i < fields.length; i++) {
    const { name, value } = fields[i]!
    if (name === 'host') meaning.host = value
    else if (name === 'connection') meaning.options = optionsIn(value)
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

/** RFC 9112 3.2: absolute, authority and asterisk form are for proxies and servers; engines are asked in origin form. */
const targetIn = (text: string, from: number, to: number, memory?: HeadMemory): string => {
  const target = text.slice(from, to)
  if (target === memory?.target) return memory.target
  if (text.charCodeAt(from) !== SLASH || !isAll(text, TARGET, from, to))
    throw malformed('request target')
  return target
}

/**
 * @param text a head without its final empty line, lines ended by CRLF (what HeadReader cuts)
 * @param memory of the connection that it came over
 * @throws Failure with the status to answer; nothing behind such a head may be read
 */
export const parseRequestHead = (text: string, memory?: HeadMemory): RequestHead => {
  const lineEnd = endOfLine(text, 0)
  // RFC 9112 3: method SP request-target SP HTTP-version, and exactly one SP each
  const methodEnd = text.indexOf(' ')
  const targetEnd = lineEnd - 9
  if (methodEnd < 1 || targetEnd <= methodEnd + 1) throw malformed('request line')
  const minor = minorAt(text, targetEnd)
  if (minor === undefined) throw malformed('HTTP version or request line')
  const method = methodOf(text, methodEnd)
  if (method === undefined) throw malformed('method not served')
  const known = text.length > LONGEST_REMEMBERED ? undefined : memory
  const target = targetIn(text, methodEnd + 1, targetEnd, known)
  const from = lineEnd + 2
  const fields =
    known === undefined
      ? parseFields(text, from)
      : known.fields(text, from, known.asksAgain(method, target, minor))
  return headOf(method, target, minor, fields)
}

/**
 * The head that a reader has found.
 * @param memory of the connection, whose front the reader was given
 * @throws Failure like `parseRequestHead`
 */
export const parseFound = (reader: HeadReader, memory: HeadMemory): RequestHead => {
  if (!reader.hasFront) return parseRequestHead(reader.text, memory)
  const { method, target, minor } = memory
  return headOf(method, target, minor, memory.fieldsBehindFront(reader.text))
}

const headOf = (
  method: string,
  target: string,
  minor: 0 | 1,
  fields: readonly RequestField[],
): RequestHead => {
  const meaning = read(fields)
  // 3.2: exactly one Host, which may be empty: buildx leaves it so
  if (meaning.host === undefined ? minor === 1 : !isHost(meaning.host)) throw malformed('Host')
  const framing = requestFraming(method, minor, meaning.contentLength, meaning.transferEncoding)
  return {
    method,
    target,
    minor,
    fields,
    framing,
    keepAlive: minor === 1 && !meaning.options.includes('close'),
    upgrade: minor === 1 && meaning.options.includes('upgrade') ? meaning.upgrade : undefined,
    expectsContinue: expectsContinue(meaning.expect, minor, framing.kind !== 'none'),
  }
}
