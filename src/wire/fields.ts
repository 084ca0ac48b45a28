/** The header fields berth knows, as two tables: what a client may say to an engine, and what an engine may answer. */

/**
 * What becomes of a request field:
 * - `wire`: read here, answered or rebuilt here, never forwarded as it came
 * - `identity`: says who asks; never forwarded
 * - `browser`: sent by web pages only; its presence refuses the request
 * - the others are forwarded on routes of that class (`any` on all of them)
 */
export type RequestFieldClass =
  | 'wire'
  | 'identity'
  | 'browser'
  | 'any'
  | 'registry'
  | 'session'
  | 'websocket'
  | 'transfer'

interface RequestFieldRow {
  readonly class: RequestFieldClass
  /** The only field that clients repeat: buildx names each gRPC method it serves in one of its own. */
  readonly repeats?: true
}

/** Every other request field is dropped. 371 of 914 captured requests carry Traceparent: engines and clients trace with it. */
export const REQUEST_FIELDS = {
  host: { class: 'wire' },
  connection: { class: 'wire' },
  'content-length': { class: 'wire' },
  'content-type': { class: 'wire' },
  expect: { class: 'wire' },
  'http2-settings': { class: 'wire' },
  'keep-alive': { class: 'wire' },
  'proxy-connection': { class: 'wire' },
  te: { class: 'wire' },
  trailer: { class: 'wire' },
  'transfer-encoding': { class: 'wire' },
  upgrade: { class: 'wire' },
  authorization: { class: 'identity' },
  'x-berth-key': { class: 'identity' },
  origin: { class: 'browser' },
  'sec-fetch-dest': { class: 'browser' },
  'sec-fetch-mode': { class: 'browser' },
  'sec-fetch-site': { class: 'browser' },
  'sec-fetch-user': { class: 'browser' },
  'sec-fetch-storage-access': { class: 'browser' },
  accept: { class: 'any' },
  baggage: { class: 'any' },
  traceparent: { class: 'any' },
  tracestate: { class: 'any' },
  'user-agent': { class: 'any' },
  'accept-encoding': { class: 'transfer' },
  'x-registry-auth': { class: 'registry' },
  'x-registry-config': { class: 'registry' },
  'x-docker-expose-session-uuid': { class: 'session' },
  'x-docker-expose-session-name': { class: 'session' },
  'x-docker-expose-session-sharedkey': { class: 'session' },
  'x-docker-expose-session-grpc-method': { class: 'session', repeats: true },
  'sec-websocket-extensions': { class: 'websocket' },
  'sec-websocket-key': { class: 'websocket' },
  'sec-websocket-protocol': { class: 'websocket' },
  'sec-websocket-version': { class: 'websocket' },
} as const satisfies Record<string, RequestFieldRow>

export type RequestFieldName = keyof typeof REQUEST_FIELDS

/** One field of a request, read: which row of the table it is, and its trimmed value. */
export interface RequestField {
  readonly name: RequestFieldName
  readonly class: RequestFieldClass
  /** What stands before the value in a head: the end of the line above, and the name as Go's net/http would write it. */
  readonly front: string
  readonly value: string
}

/**
 * What becomes of a response field: `wire` is read and rebuilt here, `forward` goes to the client as `spelling: value`.
 * Every other one is dropped.
 */
interface ResponseFieldRow {
  readonly class: 'wire' | 'forward'
  readonly spelling: string
  /** A list that may come in several lines (RFC 9110 5.3). Of every other field that is forwarded, the first line counts. */
  readonly repeats?: true
}

const forward = (spelling: string): ResponseFieldRow => ({ class: 'forward', spelling })
const list = (spelling: string): ResponseFieldRow => ({ ...forward(spelling), repeats: true })
const wire = (spelling: string): ResponseFieldRow => ({ class: 'wire', spelling })

export const RESPONSE_FIELDS: Readonly<Record<string, ResponseFieldRow>> = {
  connection: wire('Connection'),
  'content-length': wire('Content-Length'),
  'transfer-encoding': wire('Transfer-Encoding'),
  upgrade: wire('Upgrade'),
  'api-version': forward('Api-Version'),
  'builder-version': forward('Builder-Version'),
  'cache-control': list('Cache-Control'),
  'content-disposition': forward('Content-Disposition'),
  'content-encoding': forward('Content-Encoding'),
  'content-type': forward('Content-Type'),
  date: forward('Date'),
  'docker-experimental': forward('Docker-Experimental'),
  expires: forward('Expires'),
  'last-modified': forward('Last-Modified'),
  ostype: forward('Ostype'),
  pragma: forward('Pragma'),
  'retry-after': forward('Retry-After'),
  'sec-websocket-accept': forward('Sec-WebSocket-Accept'),
  'sec-websocket-protocol': forward('Sec-WebSocket-Protocol'),
  server: forward('Server'),
  swarm: forward('Swarm'),
  vary: list('Vary'),
  warning: list('Warning'),
  'www-authenticate': list('Www-Authenticate'),
  'x-docker-container-path-stat': forward('X-Docker-Container-Path-Stat'),
}
