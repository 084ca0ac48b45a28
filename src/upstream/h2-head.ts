/** Heads of HTTP/2 by way of the HTTP/1.1 heads they stand for: one writer and one parser decide what is sent and taken. */
import type { OutgoingHttpHeaders } from 'node:http2'
import { Failure } from '../errors.ts'
import { NO_BODY, type ResponseHead } from '../wire/head.ts'
import { parseResponseHead } from '../wire/parse-response.ts'

/** RFC 9113 8.2.2: what belongs to a connection has no place in a stream. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** RFC 9113 8.3.1: the authority takes the place of Host. */
const nameOf = (name: string): string => (name === 'host' ? ':authority' : name)

export interface RequestFields {
  readonly fields: OutgoingHttpHeaders
  readonly hasBody: boolean
}

/**
 * RFC 9113 8.3.1.
 * @param head written by relay: a request line and fields, each on a line of its own, and an empty line
 */
export const requestFields = (head: string): RequestFields => {
  const [line = '', ...lines] = head.split('\r\n')
  const [method, path] = line.split(' ')
  const fields: Record<string, string | string[] | undefined> = {
    ':method': method,
    ':scheme': 'https',
    ':path': path,
  }
  let hasBody = false
  for (const text of lines) {
    const colon = text.indexOf(': ')
    if (colon === -1) continue
    const name = nameOf(text.slice(0, colon).toLowerCase())
    const value = text.slice(colon + 2)
    if (name === 'transfer-encoding' || (name === 'content-length' && value !== '0')) hasBody = true
    if (CONNECTION_SPECIFIC.has(name)) continue
    const before = fields[name]
    fields[name] = before === undefined ? value : [before, value].flat()
  }
  return { fields, hasBody }
}

const malformed = (what: string): Failure => new Failure('MALFORMED_RESPONSE', what)
const UPPER_CASE = /[A-Z]/

/**
 * RFC 9113 8.1.1, 8.2 and 8.3.2.
 * @param list names and values in turn, as they came
 * @param method of the request it answers
 * @param isAll whether the stream ended with the head: there is no body
 * @returns a head whose framing is `until-close` where the body ends with the stream
 * @throws Failure MALFORMED_RESPONSE
 */
export const parseResponseFields = (
  list: readonly string[],
  method: string,
  isAll: boolean,
): ResponseHead => {
  const [first, status = ''] = list
  if (first !== ':status') throw malformed('no status')
  // RFC 9113 8.6: there is nothing to switch to
  if (status === '101') throw malformed('101 in HTTP/2')
  const lines = [`HTTP/1.1 ${status}`]
  for (let i = 2; i + 1 < list.length; i += 2) {
    const name = list[i] ?? ''
    if (name.startsWith(':')) throw malformed('pseudo-header field')
    if (UPPER_CASE.test(name)) throw malformed('field name')
    if (CONNECTION_SPECIFIC.has(name)) throw malformed(`${name} in HTTP/2`)
    lines.push(`${name}: ${list[i + 1]}`)
  }
  const text = lines.join('\r\n')
  // nothing in the list may have become a line of its own
  if (text.split('\r\n').length !== lines.length) throw malformed('line ends in a field')
  const head = parseResponseHead(text, method)
  if (isAll && head.framing.kind === 'length') throw malformed('it ended before its body')
  return { ...head, framing: isAll ? NO_BODY : head.framing, keepAlive: true }
}
