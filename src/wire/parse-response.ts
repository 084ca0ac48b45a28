/** Text of a response head -> ResponseHead. An engine is held to the grammar too: a guest's may lie. */
import { Failure } from '../errors.ts'
import { isAll, TOKEN, VALUE } from './ascii.ts'
import { RESPONSE_FIELDS } from './fields.ts'
import { responseFraming } from './framing.ts'
import type { ResponseHead } from './head.ts'
import { endOfLine, MAX_FIELDS } from './parse-fields.ts'

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/

const malformed = (what: string): Failure => new Failure('MALFORMED_RESPONSE', what)

/** The table by both spellings: engines write names the same way every time, so the first look-up nearly always hits. */
const rowOf = (name: string) => ROWS.get(name) ?? ROWS.get(name.toLowerCase())
const ROWS = new Map(
  Object.entries(RESPONSE_FIELDS).flatMap(([name, row]) => [
    [name, { ...row, name }] as const,
    [row.spelling, { ...row, name }] as const,
  ]),
)

interface Fields {
  forwarded: string
  contentLength: string | undefined
  transferEncoding: string | undefined
  connection: string | undefined
  upgrade: string | undefined
  apiVersion: string | undefined
}

const keep = (fields: Fields, name: string, value: string): void => {
  if (name === 'content-length') fields.contentLength = once(fields.contentLength, name, value)
  else if (name === 'transfer-encoding')
    fields.transferEncoding = once(fields.transferEncoding, name, value)
  else if (name === 'upgrade') fields.upgrade = once(fields.upgrade, name, value)
  else fields.connection = fields.connection === undefined ? value : `${fields.connection},${value}`
}

const once = (before: string | undefined, name: string, value: string): string => {
  if (before !== undefined) throw malformed(`more than one ${name}`)
  return value
}

const valueStart = (text: string, from: number, to: number): number => {
  let at = from
  while (at < to && (text.charCodeAt(at) === 32 || text.charCodeAt(at) === 9)) at++
  return at
}

/** @throws Failure where `text[from, to)` is no field */
const colonIn = (text: string, from: number, to: number): number => {
  const colon = text.indexOf(':', from)
  if (
    colon <= from ||
    colon >= to ||
    !isAll(text, TOKEN, from, colon) ||
    !isAll(text, VALUE, colon + 1, to)
  )
    throw malformed('header field')
  return colon
}

const parseFields = (text: string, from: number): Fields => {
  const fields: Fields = {
    forwarded: '',
    contentLength: undefined,
    transferEncoding: undefined,
    connection: undefined,
    upgrade: undefined,
    apiVersion: undefined,
  }
  const seen = new Set<string>()
  let count = 0
  for (let at = from; at < text.length; ) {
    const end = endOfLine(text, at)
    if (++count > MAX_FIELDS) throw malformed(`more than ${MAX_FIELDS} header fields`)
    const colon = colonIn(text, at, end)
    const row = rowOf(text.slice(at, colon))
    if (row !== undefined) {
      const value = text.slice(valueStart(text, colon + 1, end), end).trimEnd()
      if (row.class === 'wire') keep(fields, row.name, value)
      else if (row.repeats || !seen.has(row.name)) {
        seen.add(row.name)
        fields.forwarded += `${row.spelling}: ${value}\r\n`
        if (row.name === 'api-version') fields.apiVersion = value
      }
    }
    at = end + 2
  }
  return fields
}

/**
 * @param text a head without its final empty line
 * @param method of the request it answers: HEAD changes where the body ends
 * @throws Failure MALFORMED_RESPONSE: the connection it came over is not to be used again
 */
export const parseResponseHead = (text: string, method: string): ResponseHead => {
  const lineEnd = endOfLine(text, 0)
  const line = STATUS_LINE.exec(text.slice(0, lineEnd))
  if (line === null) throw malformed('status line')
  const minor = line[1] === '1' ? 1 : 0
  const status = Number(line[2])
  const fields = parseFields(text, lineEnd + 2)
  const framing = responseFraming(
    method,
    minor,
    status,
    fields.contentLength,
    fields.transferEncoding,
  )
  const connection = fields.connection?.toLowerCase()
  return {
    status,
    fields: fields.forwarded,
    framing,
    announcedLength: framing.kind === 'none' ? fields.contentLength : undefined,
    keepAlive: minor === 1 && framing.kind !== 'until-close' && !connection?.includes('close'),
    upgrade: connection?.includes('upgrade') ? fields.upgrade : undefined,
    apiVersion: fields.apiVersion,
  }
}
