/** An HTTP/2 field list -> RequestHead, by way of the HTTP/1.1 head it stands for: one parser decides what is allowed. */
import { Failure } from '../errors.ts'
import { isAll, TOKEN, VALUE } from '../wire/ascii.ts'
import { type RequestHead, UNTIL_CLOSE } from '../wire/head.ts'
import { parseRequestHead } from '../wire/parse-request.ts'

/** RFC 9113 8.2.2: what belongs to a connection has no place in a stream. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** RFC 9113 8.3.1. CONNECT, which leaves two of them out, is not served; neither is `:protocol` (RFC 8441). */
const PSEUDO: ReadonlySet<string> = new Set([':method', ':scheme', ':path', ':authority'])
const SCHEMES: ReadonlySet<string> = new Set(['http', 'https'])
const UPPER_CASE = /[A-Z]/

const malformed = (what: string): Failure => new Failure('MALFORMED_REQUEST', what)

interface Read {
  readonly pseudo: ReadonlyMap<string, string>
  readonly fields: readonly (readonly [name: string, value: string])[]
}

/** RFC 9113 8.2.1, 8.2.2 and 8.3: what makes a field list malformed, whoever would have put up with it. */
const read = (list: readonly string[]): Read => {
  const pseudo = new Map<string, string>()
  const fields: [string, string][] = []
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = list[i] ?? ''
    const value = list[i + 1] ?? ''
    if (name.startsWith(':')) {
      if (fields.length > 0 || pseudo.has(name) || !PSEUDO.has(name))
        throw malformed(`pseudo-header field ${name}`)
      pseudo.set(name, value)
      continue
    }
    checkField(name, value)
    fields.push([name, value])
  }
  return { pseudo, fields }
}

const checkField = (name: string, value: string): void => {
  if (name === '' || !isAll(name, TOKEN) || UPPER_CASE.test(name)) throw malformed('field name')
  if (!isAll(value, VALUE) || value !== value.trim()) throw malformed('field value')
  if (CONNECTION_SPECIFIC.has(name)) throw malformed(`${name} in HTTP/2`)
  if (name === 'te' && value !== 'trailers') throw malformed('te in HTTP/2')
}

/** RFC 9113 8.3.1: `:authority` and Host may not disagree. */
const hostOf = ({ pseudo, fields }: Read): string => {
  const hosts = fields.filter(([name]) => name === 'host').map(([, value]) => value)
  const authority = pseudo.get(':authority')
  if (hosts.length > 1) throw malformed('more than one host')
  if (authority !== undefined && hosts.some((host) => host !== authority))
    throw malformed(':authority and host differ')
  return authority ?? hosts[0] ?? ''
}

/**
 * @param list names and values in turn, as they came
 * @param hasBody whether DATA may follow: without a content-length, its length is not known
 * @throws Failure with the status to answer
 */
export const parseFieldList = (list: readonly string[], hasBody: boolean): RequestHead => {
  const fields = read(list)
  const { pseudo } = fields
  const method = pseudo.get(':method')
  const path = pseudo.get(':path')
  if (method === undefined || path === undefined || !SCHEMES.has(pseudo.get(':scheme') ?? ''))
    throw malformed('a pseudo-header field is missing, or a scheme that is not served')
  const isOpen = hasBody && !fields.fields.some(([name]) => name === 'content-length')
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${hostOf(fields)}`]
  for (const [name, value] of fields.fields) if (name !== 'host') lines.push(`${name}: ${value}`)
  if (isOpen) lines.push('Transfer-Encoding: chunked')
  const text = lines.join('\r\n')
  // nothing in the list may have become a line of its own, or a second target
  if (text.split('\r\n').length !== lines.length || !isAll(method, TOKEN) || path.includes(' '))
    throw malformed('line ends in a field')
  const head = parseRequestHead(text)
  return { ...head, framing: isOpen ? UNTIL_CLOSE : head.framing, expectsContinue: false }
}
