/** One request and its response, whatever protocol carried them: what every stage is handed. */
import type { ServerHttp2Stream } from 'node:http2'
import type { Failure } from './errors.ts'
import type { Conduit } from './transport/conduit.ts'
import type { RequestHead, ResponseHead } from './wire/head.ts'

/** What is known of a client connection for as long as it lives. */
export interface Connection {
  /** The listener it came to, as configured: `tcp://127.0.0.1:2375`. */
  readonly listener: string
  /** True where the listener serves one tenant without asking who it is. */
  readonly isAnonymous: boolean
  readonly remoteAddress: string | undefined
  /** The name that a TLS client asked for (SNI). */
  readonly serverName: string | undefined
  /** What a TLS client has shown of itself. */
  readonly certificate: PeerCertificate | undefined
  /** Set before `whenGone` is called. */
  isGone: boolean
  /** Called when the connection is gone; whoever adds to it looks at `isGone` first. */
  readonly whenGone: (() => void)[]
  /** Cuts it, with everything that is under way on it; the client sees an error. */
  end: () => void
}

/** A client certificate; `isTrusted` says that an authority of the listener's has issued it, for clients, and it is valid. */
export interface PeerCertificate {
  readonly der: Uint8Array
  readonly isTrusted: boolean
}

/** A gRPC call: an HTTP/2 stream whose trailers, resets and windows mean something, so that it is handed on as one. */
export interface Call {
  readonly stream: ServerHttp2Stream
  /** The full method: `/moby.buildkit.v1.Control/Solve`. */
  readonly method: string
  /** Names and values in turn, in order, pseudo-header fields included; names are lower-case, values visible ASCII. */
  readonly fields: readonly string[]
  /** True on an upgraded /grpc: the caller talks to an engine, which he sends his files by /session. */
  readonly isUpgraded: boolean
}

/** Who carries out an exchange, and has to know when nobody waits for it any more. */
export interface Follower {
  clientGone(): void
}

/**
 * The calls come in this order: `invite`? then `respond` or `hijack` or `refuse`, then `end`; or `abort` at any time.
 * The request body is read from `client` by whoever sets its receiver; `bodyRead` says that it was read to its end.
 */
export interface Exchange {
  /** Appears in every log line and error message about this request. */
  readonly id: string
  readonly head: RequestHead
  readonly connection: Connection
  /** Where the request body comes from and the response goes to. */
  readonly client: Conduit
  /** True where the response body must come without chunk lines (HTTP/1.0, HTTP/2). */
  readonly takesPlainBody: boolean
  /** True where the connection can stop being HTTP: nowhere in HTTP/2. */
  readonly canHijack: boolean
  /** What is to be relayed instead of a request and its response, where a client speaks gRPC. */
  readonly call: Call | undefined
  /** The status answered, or 0. */
  readonly status: number
  readonly isGone: boolean
  /** Told once when the client gives up before `end`. */
  follower: Follower | undefined
  /** Sends `100 Continue` to a client that waits for it: the engine is ready for the body. */
  invite(): void
  /** The request body has been read to its end; `client` delivers to its connection again. */
  bodyRead(): void
  /** Writes the response head and `first`, the body bytes that came with it, in one piece where they are few. */
  respond(head: ResponseHead, first: Buffer, from: Conduit): void
  /** Writes the head of a connection that stops being HTTP: from here on `client` is a stream of raw bytes. */
  hijack(head: ResponseHead, first: Buffer): void
  /** Accepts an upgrade to HTTP/2 here: from now on each gRPC call on the connection is an exchange of its own. */
  speakH2(): void
  /** Answers with a failure, where and how this client shows it to its user. */
  refuse(failure: Failure): void
  /** The response has been written to its end. */
  end(): void
  /** The response cannot be completed: the client must see an error, not an end. */
  abort(): void
}
