/** Where does this body end? RFC 9112 6.3 as one function a direction, with every ambiguity refused. */
import { Failure } from '../errors.ts'
import { CHUNKED, type Framing, NO_BODY, UNTIL_CLOSE } from './head.ts'

/** 15 digits stay below 2^53 and far below 2^63, where implementations begin to differ. */
const CONTENT_LENGTH = /^(?:0|[1-9][0-9]{0,14})$/

/** A Content-Length as a number, or undefined where it is not canonical: no sign, list, leading zero or other base. */
export const parseContentLength = (text: string): number | undefined =>
  CONTENT_LENGTH.test(text) ? Number(text) : undefined

const isChunked = (coding: string): boolean =>
  coding === 'chunked' || (coding.length === 7 && coding.toLowerCase() === 'chunked')

/** Methods whose requests have no body here: no docker client sends one, and Go would read it (DESIGN 3.1). */
const BODILESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS'])

/**
 * RFC 9112 6.3 for requests.
 * @throws Failure MALFORMED_REQUEST, UNKNOWN_TRANSFER_CODING or BODY_NOT_ALLOWED
 */
export const requestFraming = (
  method: string,
  minor: 0 | 1,
  contentLength: string | undefined,
  transferEncoding: string | undefined,
): Framing => {
  if (transferEncoding !== undefined) {
    // 6.1: a message with both is an attack or a mistake; Go would let Transfer-Encoding win
    if (contentLength !== undefined)
      throw new Failure('MALFORMED_REQUEST', 'Content-Length and Transfer-Encoding together')
    // 6.1: HTTP/1.0 has no transfer codings, and Go ignores the field there
    if (minor === 0) throw new Failure('MALFORMED_REQUEST', 'Transfer-Encoding in HTTP/1.0')
    if (!isChunked(transferEncoding)) throw new Failure('UNKNOWN_TRANSFER_CODING')
    if (BODILESS.has(method)) throw new Failure('BODY_NOT_ALLOWED')
    return CHUNKED
  }
  if (contentLength === undefined) return NO_BODY
  const length = parseContentLength(contentLength)
  if (length === undefined)
    throw new Failure('MALFORMED_REQUEST', 'Content-Length is not a plain number')
  if (length === 0) return NO_BODY
  if (BODILESS.has(method)) throw new Failure('BODY_NOT_ALLOWED')
  return { kind: 'length', length }
}

/**
 * RFC 9112 6.3 for responses to `method`.
 * @throws Failure MALFORMED_RESPONSE
 */
export const responseFraming = (
  method: string,
  minor: 0 | 1,
  status: number,
  contentLength: string | undefined,
  transferEncoding: string | undefined,
): Framing => {
  const length = contentLength === undefined ? undefined : parseContentLength(contentLength)
  if (contentLength !== undefined && length === undefined)
    throw new Failure('MALFORMED_RESPONSE', 'Content-Length is not a plain number')
  if (
    transferEncoding !== undefined &&
    (length !== undefined || minor === 0 || !isChunked(transferEncoding))
  )
    throw new Failure('MALFORMED_RESPONSE', 'Transfer-Encoding is not "chunked" alone')
  if (status < 200 && (length !== undefined || transferEncoding !== undefined))
    throw new Failure('MALFORMED_RESPONSE', 'an interim response with a body')
  // 6.3 step 1: these never have a body, whatever they announce
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return NO_BODY
  if (transferEncoding !== undefined) return CHUNKED
  if (length === undefined) return UNTIL_CLOSE
  return length === 0 ? NO_BODY : { kind: 'length', length }
}
