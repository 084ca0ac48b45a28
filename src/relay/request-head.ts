/** An errand and the client's head -> the text of the upstream request head: a new request, not an edited one. */
import { Failure } from '../errors.ts'
import type { Framing, RequestHead } from '../wire/head.ts'
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

/** The lines that were written last: clients ask the same again and again. */
let latest = { method: '', target: '', host: '', text: '' }

const firstLines = (method: string, target: string, host: string): string => {
  if (target !== latest.target || method !== latest.method || host !== latest.host) {
    const text = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n`
    latest = { method, target, host, text }
  }
  return latest.text
}

/**
 * @param framing of the body as it goes upstream; a POST or PUT without one says so
 * @param host what the engine is called
 */
export const writeRequestHead = (
  errand: Errand,
  head: RequestHead,
  framing: Framing,
  upgrade: string | undefined,
  host = 'berth',
): string => {
  let text = firstLines(errand.method, errand.target, host)
  for (let i = 0; i < head.fields.length; i++) {
    const field = head.fields[i]
    if (field !== undefined && (field.class === 'any' || errand.fieldClasses.has(field.class))) {
      if (field.class === 'registry' && !BASE64URL.test(field.value))
        throw new Failure('HEADER_NOT_ACCEPTED', `${field.name} must be padded base64url`)
      text += `${field.spelling}: ${field.value}\r\n`
    }
  }
  if (upgrade !== undefined) text += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`
  if (errand.contentType !== undefined) text += `Content-Type: ${errand.contentType}\r\n`
  if (framing.kind !== 'none') text += framingField(framing)
  else if (errand.method === 'POST' || errand.method === 'PUT') text += 'Content-Length: 0\r\n'
  return `${text}\r\n`
}
