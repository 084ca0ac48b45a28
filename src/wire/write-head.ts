/** Heads -> text: berth's own spelling of every line, whatever came in. */
import { type Framing, NO_BODY, type ResponseHead } from './head.ts'

/** Reason phrases are berth's own too: an engine's could carry anything. */
const REASONS: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'UPGRADED',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No Content',
  206: 'Partial Content',
  301: 'Moved Permanently',
  304: 'Not Modified',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  408: 'Request Timeout',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
}

export const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

/** `HTTP/1.1 200 OK\r\n`; a status without a known phrase gets none (RFC 9112 4 allows that). */
export const statusLine = (status: number): string =>
  `HTTP/1.1 ${status} ${REASONS[status] ?? ''}\r\n`

/** The field that says where the body ends; none for a body that ends with the connection. */
export const framingField = (framing: Framing): string => {
  switch (framing.kind) {
    case 'none':
    case 'until-close':
      return ''
    case 'length':
      return `Content-Length: ${framing.length}\r\n`
    case 'chunked':
      return 'Transfer-Encoding: chunked\r\n'
  }
}

/** True where a message without a body says so with `Content-Length: 0` (RFC 9110 8.6: never on 1xx, 204; on 304 it would lie). */
const saysEmpty = (method: string, status: number): boolean =>
  method !== 'HEAD' && status >= 200 && status !== 204 && status !== 304

/** The Content-Length line of a bodiless response: what HEAD or 304 announce, or 0, or nothing. */
const emptyField = (method: string, head: ResponseHead): string => {
  if (saysEmpty(method, head.status)) return 'Content-Length: 0\r\n'
  if (head.announcedLength !== undefined && head.status !== 204)
    return `Content-Length: ${head.announcedLength}\r\n`
  return ''
}

/** The head that was written last: engines repeat theirs for a second, until the date changes (wire/remember.ts). */
let latest: {
  readonly method: string
  readonly head: ResponseHead | undefined
  readonly framing: Framing
  readonly close: boolean
  readonly text: string
} = { method: '', head: undefined, framing: NO_BODY, close: false, text: '' }

/**
 * A response head for an HTTP/1 client, empty line included.
 * @param framing how the body will be framed on this side
 * @param close whether the connection ends with this response
 */
export const writeResponseHead = (
  method: string,
  head: ResponseHead,
  framing: Framing,
  close: boolean,
): string => {
  if (
    head === latest.head &&
    method === latest.method &&
    framing === latest.framing &&
    close === latest.close
  )
    return latest.text
  const text =
    statusLine(head.status) +
    head.fields +
    (framing.kind === 'none' ? emptyField(method, head) : framingField(framing)) +
    (close ? 'Connection: close\r\n\r\n' : '\r\n')
  latest = { method, head, framing, close, text }
  return text
}
