/** One HTTP/2 client connection: its streams become exchanges, and what floods it ends it. */
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { asFailure, Failure } from '../errors.ts'
import type { Call, Connection } from '../exchange.ts'
import type { Conduit } from '../transport/conduit.ts'
import { NO_BODY, type RequestHead } from '../wire/head.ts'
import { admit } from './admit.ts'
import type { Harbour } from './h1.ts'
import { type H2Carrier, H2Exchange } from './h2-exchange.ts'
import { FLAG } from './h2-frames.ts'
import { H2_ERROR, H2_LIMITS, H2Guard } from './h2-guard.ts'
import { parseFieldList } from './h2-head.ts'
import { H2Wire } from './h2-wire.ts'

export interface H2Options {
  /** True after an upgrade on /grpc, where engines serve nothing else. */
  readonly onlyCalls: boolean
  /** What every stream is answered with. */
  readonly objection: Failure | undefined
}

/** What a client may send on a stream before it is read: a build context over a slow line needs more than the usual 64 KiB. */
const STREAM_WINDOW_BYTES = 256 << 10
const GRPC = /^application\/grpc(?:[+;]|$)/
const MS = 1000

/** What stands for the head of a stream that had none. */
const NO_HEAD: RequestHead = {
  method: 'GET',
  target: '/',
  minor: 1,
  fields: [],
  framing: NO_BODY,
  keepAlive: true,
  upgrade: undefined,
  expectsContinue: false,
}

export class H2Connection implements H2Carrier {
  readonly facts: Connection
  readonly conduit: Conduit
  readonly #harbour: Harbour
  readonly #options: H2Options
  readonly #guard = new H2Guard()
  readonly #session: ServerHttp2Session
  readonly #since: number
  #idleSince: number
  #isAcknowledged = false
  #isEnded = false
  #opened = 0
  #live = 0

  constructor(conduit: Conduit, facts: Connection, harbour: Harbour, options: H2Options) {
    this.conduit = conduit
    this.facts = facts
    this.#harbour = harbour
    this.#options = options
    this.#since = harbour.now
    this.#idleSince = harbour.now
    const wire = new H2Wire(conduit, this.#guard, this.#endIfDue)
    wire.on('error', () => {})
    this.#session = performServerHandshake(wire, {
      maxHeaderListPairs: H2_LIMITS.headerPairs,
      settings: {
        enablePush: false,
        maxConcurrentStreams: H2_LIMITS.concurrentStreams,
        maxHeaderListSize: H2_LIMITS.headerListBytes,
        initialWindowSize: STREAM_WINDOW_BYTES,
      },
    })
    this.#session
      .on('stream', this.#begin)
      .once('localSettings', () => {
        this.#isAcknowledged = true
      })
      .on('error', (error) => this.#broken(error))
  }

  get apiVersion(): string {
    return this.#harbour.apiVersion
  }

  // === streams ===

  readonly #begin = (
    stream: ServerHttp2Stream,
    _: unknown,
    flags: number,
    list: readonly string[],
  ): void => {
    this.#live++
    stream.once('close', this.#ended)
    // an error of a stream is told by its end
    stream.on('error', () => {})
    stream.once('aborted', () => discard(stream))
    if (++this.#opened >= H2_LIMITS.totalStreams) this.#session.close()
    if (stream.aborted) return void stream.destroy() // in the same packet, before it was begun
    const id = this.#harbour.newId()
    let head = NO_HEAD
    let call: Call | undefined
    let failure = this.#options.objection
    try {
      head = parseFieldList(list, (flags & FLAG.END_STREAM) === 0)
      call = callOf(head, stream, list, this.#options.onlyCalls)
      if (this.#options.onlyCalls && call === undefined)
        failure = new Failure('CONTENT_TYPE', 'an upgraded /grpc carries gRPC calls only')
      admit(head, this.facts, this.#harbour.allowedHosts)
    } catch (error) {
      failure = asFailure(error)
    }
    const exchange = new H2Exchange(id, head, stream, this, call)
    if (failure === undefined) return this.#harbour.serve(exchange)
    this.#harbour.refused(failure, this.facts, id)
    exchange.refuse(failure)
  }

  readonly #ended = (): void => {
    this.#live--
    this.#idleSince = this.#harbour.now
  }

  // === ends ===

  readonly #endIfDue = (): void => {
    const { abuse } = this.#guard
    if (abuse !== undefined) this.#end(abuse.code, abuse.reason)
    else if (this.#guard.isLeaving) this.#session.destroy()
    // nghttp2 has said GOAWAY of itself, and would wait for the client to go
    else if (!this.#session.closed) this.#end(H2_ERROR.PROTOCOL_ERROR, 'broken framing')
  }

  /** GOAWAY with a reason for the log; everything that is under way on this connection ends with it. */
  #end(code: number, reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#harbour.refused(new Failure('HTTP2_ABUSE', reason), this.facts, this.#harbour.newId())
    this.#session.destroy(new Error(reason), code)
  }

  #broken(error: Error): void {
    // grpc-go says goodbye with one of its own stream ids, which nghttp2 takes for a protocol error
    if (this.#isEnded || this.#guard.isLeaving || this.conduit.isGone) return
    this.#harbour.refused(
      new Failure('MALFORMED_REQUEST', 'HTTP/2 framing', error),
      this.facts,
      this.#harbour.newId(),
    )
  }

  /** Called every second. */
  tick(now: number): void {
    const { headSeconds, idleSeconds } = this.#harbour.limits
    const { blockSince } = this.#guard
    if (blockSince !== 0 && performance.now() - blockSince > headSeconds * MS)
      this.#end(H2_ERROR.ENHANCE_YOUR_CALM, 'a header block did not arrive in time')
    else if (!this.#isAcknowledged && now - this.#since > headSeconds)
      this.#end(H2_ERROR.SETTINGS_TIMEOUT, 'SETTINGS were not acknowledged in time')
    else if (this.#live === 0 && now - this.#idleSince > idleSeconds) this.#session.close()
  }

  /** No further stream: what is under way goes on. */
  drain(): void {
    this.#session.close()
  }
}

/**
 * A client that takes its request back with RST_STREAM(NO_ERROR) leaves a stream that node keeps until somebody has read
 * it to its end. Of those reset with another code, node lets go by itself.
 */
const discard = (stream: ServerHttp2Stream): void => {
  if (stream.rstCode === H2_ERROR.NO_ERROR) stream.destroy()
}

const callOf = (
  head: RequestHead,
  stream: ServerHttp2Stream,
  fields: readonly string[],
  isUpgraded: boolean,
): Call | undefined => {
  const type = head.fields.find(({ name }) => name === 'content-type')?.value
  if (type === undefined || !GRPC.test(type)) return undefined
  if (head.method !== 'POST') throw new Failure('MALFORMED_REQUEST', 'a gRPC call is a POST')
  return { stream, method: head.target, fields, isUpgraded }
}
