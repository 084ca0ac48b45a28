/** What a parsed head holds: the values that the stages ask for, and nothing that came along. */
import type { RequestField, RequestFieldName } from './fields.ts'

/** Where a message body ends (RFC 9112 6.3), decided once per message. `none` is a message without a body. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'until-close' }

export const NO_BODY: Framing = { kind: 'none' }
export const CHUNKED: Framing = { kind: 'chunked' }
export const UNTIL_CLOSE: Framing = { kind: 'until-close' }

export interface RequestHead {
  readonly method: string
  /** Origin-form only, plain ASCII: `/v1.44/containers/json?all=1`. */
  readonly target: string
  /** The minor version: HTTP/1.0 or HTTP/1.1. */
  readonly minor: 0 | 1
  /** The fields of the table in wire/fields.ts, in order; all others have been dropped. */
  readonly fields: readonly RequestField[]
  readonly framing: Framing
  /** True when the client will send another request after this one (RFC 9112 9.3). */
  readonly keepAlive: boolean
  /** The one protocol asked for with `Connection: upgrade` (RFC 9110 7.8), as written. */
  readonly upgrade: string | undefined
  /** True when the client waits for a `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean
}

export interface ResponseHead {
  readonly status: number
  /** The forwarded fields as they will be written: `Name: value\r\n` each. */
  readonly fields: string
  readonly framing: Framing
  /** A Content-Length that names a body which does not follow (HEAD, 304), as written. */
  readonly announcedLength: string | undefined
  /** True when the connection may carry another request (RFC 9112 9.3). */
  readonly keepAlive: boolean
  readonly upgrade: string | undefined
  /** The engine's newest API version, as `1.51`. */
  readonly apiVersion: string | undefined
}

/** The value of a field that occurs once, or undefined. */
export const fieldValue = (head: RequestHead, name: RequestFieldName): string | undefined => {
  const { fields } = head
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i] as RequestField
    if (field.name === name) return field.value
  }
  return undefined
}
