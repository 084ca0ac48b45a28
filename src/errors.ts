/** Every way in which a request can fail, as one table, and the one error that carries a row of it. */

/** Who has to act for the failure to go away. */
export type Fault = 'client' | 'upstream' | 'berth'

/** One row: the status a client sees, the gRPC status a builder sees, whose fault it is, what happened. */
interface Row {
  readonly status: number
  /** gRPC status code, for `/grpc` (https://grpc.io/docs/guides/status-codes/). */
  readonly grpc: number
  readonly fault: Fault
  readonly says: string
}

// biome-ignore format: a table, one row a line
export const FAILURES = {
  // what the client sent
  MALFORMED_REQUEST: { status: 400, grpc: 13, fault: 'client', says: 'malformed request' },
  MALFORMED_BODY: { status: 400, grpc: 13, fault: 'client', says: 'malformed request body' },
  UNKNOWN_TRANSFER_CODING: { status: 501, grpc: 12, fault: 'client', says: 'Transfer-Encoding must be exactly "chunked"' },
  HEAD_TOO_LARGE: { status: 431, grpc: 8, fault: 'client', says: 'request head too large' },
  HEAD_TIMEOUT: { status: 408, grpc: 4, fault: 'client', says: 'the request head did not arrive in time' },
  BODY_TIMEOUT: { status: 408, grpc: 4, fault: 'client', says: 'the request body did not arrive in time' },
  BODY_TOO_LARGE: { status: 413, grpc: 8, fault: 'client', says: 'request body too large' },
  BODY_NOT_ALLOWED: { status: 400, grpc: 13, fault: 'client', says: 'this request takes no body' },
  CONTENT_TYPE: { status: 415, grpc: 13, fault: 'client', says: 'content type not accepted here' },
  EXPECTATION_FAILED: { status: 417, grpc: 13, fault: 'client', says: 'the only expectation known here is 100-continue' },
  PATH_NOT_PLAIN: { status: 400, grpc: 13, fault: 'client', says: 'path not accepted' },
  VERSION_NOT_SERVED: { status: 400, grpc: 13, fault: 'client', says: 'API version not served' },
  QUERY_NOT_ACCEPTED: { status: 400, grpc: 13, fault: 'client', says: 'query not accepted' },
  HEADER_NOT_ACCEPTED: { status: 400, grpc: 13, fault: 'client', says: 'header not accepted' },
  UPGRADE_NOT_ACCEPTED: { status: 400, grpc: 13, fault: 'client', says: 'upgrade not accepted' },
  HIJACK_OVER_HTTP2: { status: 400, grpc: 12, fault: 'client', says: 'hijack connection missing: this request needs HTTP/1.1' },
  NO_UPGRADE: { status: 500, grpc: 13, fault: 'client', says: 'no upgrade proto in request' },
  HTTP2_ABUSE: { status: 400, grpc: 8, fault: 'client', says: 'HTTP/2 connection ended' },
  NOT_HTTP: { status: 400, grpc: 13, fault: 'client', says: 'this is not HTTP' },
  NOT_TLS: { status: 400, grpc: 14, fault: 'client', says: 'this port speaks TLS' },
  // who asked
  BROWSER: { status: 403, grpc: 7, fault: 'client', says: 'requests from web pages are refused' },
  HOST_NOT_SERVED: { status: 403, grpc: 7, fault: 'client', says: 'this host name is not served here' },
  UNAUTHENTICATED: { status: 401, grpc: 16, fault: 'client', says: 'who are you?' },
  TENANT_DISABLED: { status: 403, grpc: 7, fault: 'client', says: 'this tenant is disabled' },
  NO_SUCH_TENANT: { status: 404, grpc: 5, fault: 'client', says: 'no such tenant' },
  TENANT_EXISTS: { status: 409, grpc: 6, fault: 'client', says: 'this tenant name is taken' },
  TENANT_INVALID: { status: 400, grpc: 3, fault: 'client', says: 'not a valid tenant' },
  TOO_MANY_REQUESTS: { status: 429, grpc: 8, fault: 'client', says: 'too many requests' },
  // what was asked
  NO_SUCH_ROUTE: { status: 404, grpc: 12, fault: 'client', says: 'page not found' },
  NO_SUCH_PLUGIN: { status: 404, grpc: 5, fault: 'client', says: 'there are no plugins here' },
  NO_SUCH_CONTAINER: { status: 404, grpc: 5, fault: 'client', says: 'No such container' },
  POLICY_DENIED: { status: 403, grpc: 7, fault: 'client', says: 'not allowed here' },
  // the engine
  ENGINE_UNREACHABLE: { status: 502, grpc: 14, fault: 'upstream', says: 'the engine cannot be reached' },
  ENGINE_TIMEOUT: { status: 504, grpc: 14, fault: 'upstream', says: 'the engine did not answer in time' },
  ENGINE_GONE: { status: 502, grpc: 14, fault: 'upstream', says: 'the engine closed the connection before it answered' },
  ENGINE_REFUSED: { status: 502, grpc: 14, fault: 'upstream', says: 'the engine refused what this needs first' },
  MALFORMED_RESPONSE: { status: 502, grpc: 13, fault: 'upstream', says: 'the engine sent a malformed answer' },
  // berth itself
  POLICY_UNKNOWN: { status: 503, grpc: 14, fault: 'berth', says: 'the policy of this tenant is not known' },
  PLAN_UNKNOWN: { status: 503, grpc: 14, fault: 'berth', says: 'the plan of this tenant is not known' },
  ENDPOINT_UNKNOWN: { status: 503, grpc: 14, fault: 'berth', says: 'the endpoint of this tenant is not known' },
  STORE_UNAVAILABLE: { status: 503, grpc: 14, fault: 'berth', says: 'the store cannot be reached' },
  STORE_URL: { status: 500, grpc: 13, fault: 'berth', says: 'the store URL cannot be used' },
  STORE_CONFLICT: { status: 503, grpc: 10, fault: 'berth', says: 'other processes keep changing the same record' },
  SECRET_UNUSABLE: { status: 500, grpc: 13, fault: 'berth', says: 'a secret file cannot be used' },
  AUTHORITY_UNUSABLE: { status: 500, grpc: 13, fault: 'berth', says: 'the certificate authority cannot be used' },
  DRAINING: { status: 503, grpc: 14, fault: 'berth', says: 'berth is shutting down' },
  OVERLOADED: { status: 503, grpc: 8, fault: 'berth', says: 'berth has no room for another connection' },
  INTERNAL: { status: 500, grpc: 13, fault: 'berth', says: 'internal error' },
} as const satisfies Record<string, Row>

export type FailureCode = keyof typeof FAILURES

/** What has the shape of a tenant's key, standing alone: a client that put it where none belongs is told so without it. */
const KEY = /(?<![a-z0-9])[a-z2-7]{26}(?![a-z0-9])/gi

/** `text` for logs and answers, which others than the tenant may read. */
const withoutKeys = (text: string): string => text.replace(KEY, '(what looks like a key)')

/**
 * A request that cannot be served. `message` is what its sender may read: what happened, then what to do.
 * Failures of the client's making carry no stack: they are expected, and a stack costs ten times the rest.
 */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly code: FailureCode

  /** @param detail a sentence that says what exactly, and what to do, shown without keys; `cause` goes to the log only. */
  constructor(code: FailureCode, detail?: string, cause?: unknown) {
    const row = FAILURES[code]
    const limit = Error.stackTraceLimit
    if (row.fault !== 'berth') Error.stackTraceLimit = 0
    super(
      detail === undefined ? row.says : `${row.says}: ${withoutKeys(detail)}`,
      cause === undefined ? undefined : { cause },
    )
    Error.stackTraceLimit = limit
    this.code = code
  }

  get status(): number {
    return FAILURES[this.code].status
  }

  get fault(): Fault {
    return FAILURES[this.code].fault
  }
}

/** Any thrown value as a Failure: what is not one already is a bug of berth's. */
export const asFailure = (error: unknown): Failure =>
  error instanceof Failure ? error : new Failure('INTERNAL', undefined, error)
