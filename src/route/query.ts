/** The query of a request: parsed once, as Go's url.ParseQuery does or not at all. */

import { Failure } from '../errors.ts'
import { isStructured, readFilters } from './filters.ts'
import type { QueryKind, QueryType, Route } from './route.ts'
import { strictJson } from './strict-json.ts'

/**
 * Values by key, in the order of the route's row, each in the one spelling that berth sends on:
 * flags are `1` or `0`, filters are berth's own JSON. A key that may not be repeated has one value.
 */
export type Query = ReadonlyMap<string, readonly string[]>

export const NO_QUERY: Query = new Map()

/** `docker save` of very many images repeats `names`; nothing else comes near. */
const MAX_PAIRS = 1000
/** Printable ASCII without `#`, `;` and `?`, which some readers give a meaning here and others do not. */
const PLAIN = /^[!"$-:<=>@-~]*$/
const CAPITAL = /^[A-Z]/

/** @param text what follows the first `?` of a request-target */
export const parseQuery = (route: Route, text: string): Query => {
  if (!PLAIN.test(text)) throw refusal('it holds bytes that must be percent-encoded')
  const pairs = text.split('&')
  if (pairs.length > MAX_PAIRS) throw refusal(`it has more than ${MAX_PAIRS} parameters`)
  const found = new Map<string, string[]>()
  for (const pair of pairs) if (pair !== '') readPair(route, pair, found)
  return found.size < 2 ? found : inRowOrder(route, found)
}

const readPair = (route: Route, pair: string, found: Map<string, string[]>): void => {
  const equals = pair.indexOf('=')
  const key = decode(equals === -1 ? pair : pair.slice(0, equals))
  const text = equals === -1 ? '' : decode(pair.slice(equals + 1))
  const type = route.query.get(key) ?? mirrored(route, key)
  if (type === undefined) throw refusal(`unknown parameter "${key}"`)
  const { reads, wants } = READERS[KIND_OF[type]]
  const value = reads(text)
  if (value === undefined) throw refusal(`"${key}" must be ${wants}`)
  if (type === 'dropped') return
  const values = found.get(key)
  if (!values) found.set(key, [value])
  else if (isRepeatable(type)) values.push(value)
  else throw refusal(`"${key}" is given twice`)
}

/**
 * dockerode repeats the members of a JSON body in the query (`/containers/create?Image=busybox`).
 * The engine reads no key that starts with a capital, so they are dropped.
 */
const mirrored = (route: Route, key: string): QueryType | undefined =>
  route.body === 'json' && CAPITAL.test(key) ? 'dropped' : undefined

const inRowOrder = (route: Route, found: Map<string, string[]>): Query => {
  const query = new Map<string, string[]>()
  for (const key of route.query.keys()) {
    const values = found.get(key)
    if (values) query.set(key, values)
  }
  return query
}

/** `+` is a space, escapes must be whole and spell UTF-8 (decodeURIComponent is as strict as RFC 3629). */
const decode = (text: string): string => {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text
  if (!spaced.includes('%')) return spaced
  try {
    return decodeURIComponent(spaced)
  } catch (cause) {
    throw refusal('it holds an escape that is not UTF-8', cause)
  }
}

// === Values ===

interface Reader {
  /** The value in berth's spelling, or undefined if it is not what it should be. */
  readonly reads: (text: string) => string | undefined
  readonly wants: string
}

const CONTROL = /\p{Cc}/u
const CONTROL_IN_PROSE = /[^\P{Cc}\t\n\r]/u
const ASCII = /^[ -~]*$/
/** Empty means "not given" to the engine's integers. Fifteen digits are exact in every reader's numbers. */
const INTEGER = /^(?:-?[0-9]{1,15})?$/
const FALSE: ReadonlySet<string> = new Set(['', '0', 'no', 'false', 'none'])

const readText = (text: string): string | undefined => (CONTROL.test(text) ? undefined : text)

/**
 * As the engine's BoolValue: anything but these few words is true, `off` too. A wholly empty value stays:
 * to some flags (`rm`, `pause`) it means the default, to others false.
 */
const readFlag = (text: string): string | undefined => {
  if (text === '') return text
  if (!ASCII.test(text)) return undefined
  return FALSE.has(text.trim().toLowerCase()) ? '0' : '1'
}

const READERS: Readonly<Record<QueryKind, Reader>> = {
  flag: { reads: readFlag, wants: 'a flag, 1 or 0' },
  integer: {
    reads: (text) => (INTEGER.test(text) ? text : undefined),
    wants: 'a decimal integer of at most 15 digits',
  },
  text: { reads: readText, wants: 'text without control characters' },
  prose: {
    reads: (text) => (CONTROL_IN_PROSE.test(text) ? undefined : text),
    wants: 'text without control characters other than line ends and tabs',
  },
  json: {
    reads: (text) =>
      isStructured(text) && strictJson(text) === undefined ? undefined : readText(text),
    wants: 'JSON, without repeated keys and not deeply nested',
  },
  filters: {
    reads: (text) => (CONTROL.test(text) ? undefined : readFilters(text)),
    wants: 'a JSON object of filters such as {"label":{"a=b":true}}, without repeated keys',
  },
  path: {
    reads: (text) => (text.split('/').includes('..') ? undefined : readText(text)),
    wants: 'a path without control characters and ".." segments',
  },
  dropped: { reads: readText, wants: 'text without control characters' },
}

const KIND_OF: Readonly<Record<QueryType, QueryKind>> = {
  flag: 'flag',
  integer: 'integer',
  text: 'text',
  'text[]': 'text',
  prose: 'prose',
  'prose[]': 'prose',
  json: 'json',
  'json[]': 'json',
  filters: 'filters',
  path: 'path',
  dropped: 'dropped',
}

const isRepeatable = (type: QueryType): boolean => type.endsWith('[]')

const refusal = (what: string, cause?: unknown): Failure =>
  new Failure('QUERY_NOT_ACCEPTED', what, cause)
