/** An errand and the client's head -> the upstream request head: a new request, not an edited one. */
import { Failure } from '../errors.ts'
import type { Draft } from '../transport/draft.ts'
import type { RequestField } from '../wire/fields.ts'
import { type Framing, fieldValue, type RequestHead } from '../wire/head.ts'
import { unshared } from '../wire/remember.ts'
import { framingField } from '../wire/write-head.ts'
import type { Errand, Hijack } from './errand.ts'

/**
 * The one upgrade that a route may be asked for. Engines decide by the route, not by the field, so that a raw stream
 * is always asked for as an upgrade: then the answer says unmistakably whether the connection has changed.
 * @returns the `Upgrade` value to send, or undefined
 * @throws Failure UPGRADE_NOT_ACCEPTED
 */
export const upgradeFor = (hijack: Hijack, head: RequestHead): string | undefined => {
  if (hijack === 'none') return undefined
  // RFC 9110 7.8: a server must ignore Upgrade in HTTP/1.0; engines hijack all the same
  if (head.minor === 0) throw new Failure('UPGRADE_NOT_ACCEPTED', 'this request needs HTTP/1.1')
  if (hijack === 'tcp') {
    if (head.upgrade === undefined || head.upgrade.toLowerCase() === 'tcp') return 'tcp'
  } else if (hijack === 'websocket') {
    if (head.upgrade?.toLowerCase() === 'websocket') return 'websocket'
  } else if (head.upgrade === hijack) return hijack // buildkit compares "h2c" byte by byte
  throw new Failure('UPGRADE_NOT_ACCEPTED', `this request takes "Upgrade: ${hijack}" only`)
}

/** RFC 4648 5. Engines take credentials that they cannot decode for none, and go on without them. */
const BASE64URL = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?$/

/**
 * A check of its own, for before anything has begun.
 * @throws Failure HEADER_NOT_ACCEPTED where the engine could not decode what it would be sent
 */
export const refuseUndecodable = ({ fields }: RequestHead, { fieldClasses }: Errand): void => {
  if (!fieldClasses.has('registry')) return
  for (const { class: of, name, value } of fields)
    if (of === 'registry' && !BASE64URL.test(value))
      throw new Failure('HEADER_NOT_ACCEPTED', `${name} must be padded base64url`)
}

/** The lines that were written last: clients ask the same again and again, and say who they are before anything else. */
let latest = { method: '', target: '', host: '', agent: '', text: '' }

const firstLines = (method: string, target: string, host: string, agent: string): string => {
  const isAgain =
    target === latest.target &&
    method === latest.method &&
    host === latest.host &&
    agent === latest.agent
  if (!isAgain) {
    const said = agent === '' ? '' : `\r\nUser-Agent: ${agent}`
    const text = `${method} ${target} HTTP/1.1\r\nHost: ${host}${said}`
    latest = { method, target, host, agent: unshared(agent), text }
  }
  return latest.text
}

/**
 * @param draft gets the head, empty line included
 * @param framing of the body as it goes upstream; a POST or PUT without one says so
 * @param host what the engine is called
 */
export const writeRequestHead = (
  draft: Draft,
  { method, target, contentType, fieldClasses }: Errand,
  head: RequestHead,
  framing: Framing,
  upgrade: string | undefined,
  host: string,
): void => {
  draft.begin(firstLines(method, target, host, fieldValue(head, 'user-agent') ?? ''))
  for (let i = 0; i < head.fields.length; i++) {
    const field = head.fields[i] as RequestField
    if (field.class !== 'any' && !fieldClasses.has(field.class)) continue
    if (field.name === 'user-agent') continue
    draft.add(field.front)
    draft.add(field.value)
  }
  const lines = linesOf(method, contentType, framing, upgrade)
  draft.add(lines === '' ? '\r\n\r\n' : `\r\n${lines}\r\n`)
}

/** What berth says itself. */
const linesOf = (
  method: string,
  contentType: string | undefined,
  framing: Framing,
  upgrade: string | undefined,
): string => {
  let lines = ''
  if (upgrade !== undefined) lines += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`
  if (contentType !== undefined) lines += `Content-Type: ${contentType}\r\n`
  if (framing.kind !== 'none') lines += framingField(framing)
  else if (method === 'POST' || method === 'PUT') lines += 'Content-Length: 0\r\n'
  return lines
}
