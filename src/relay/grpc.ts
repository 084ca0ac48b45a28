/** One gRPC call, from a client's stream to an engine's: messages, trailers, resets and windows, both ways at once. */
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
  ServerHttp2Stream,
} from 'node:http2'
import { Failure } from '../errors.ts'
import type { Call, Exchange } from '../exchange.ts'
import { isAnswerable } from '../transport/adopt.ts'
import { readMessage } from './grpc-message.ts'

/** RFC 9113 7. */
const NO_ERROR = 0
const INTERNAL_ERROR = 2
const END_STREAM = 1

/** gRPC metadata that goes along, beside what is said anew. */
const METADATA: ReadonlySet<string> = new Set([
  'baggage',
  'buildkit-controlapi-buildid',
  'grpc-accept-encoding',
  'grpc-encoding',
  'grpc-timeout',
  'traceparent',
  'tracestate',
  'user-agent',
  'x-docker-expose-session-grpc-method',
  'x-docker-expose-session-name',
  'x-docker-expose-session-sharedkey',
  'x-docker-expose-session-uuid',
])

/** The field list of the call as it goes to the engine. */
const fieldsOf = ({ method, fields }: Call): OutgoingHttpHeaders => {
  const sent: Record<string, string | string[]> = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': method,
    ':authority': 'localhost',
    'content-type': 'application/grpc',
    te: 'trailers',
  }
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? ''
    if (!METADATA.has(name)) continue
    const before = sent[name]
    const value = fields[i + 1] ?? ''
    sent[name] = before === undefined ? value : [before, value].flat()
  }
  return sent
}

/** RFC 9113 8.2.2: these are of one connection, and a stream may not have them. An engine that says them all the same is not repeated. */
const OF_A_CONNECTION: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])

/** What an engine has said, as it goes to the client. */
const answered = (fields: IncomingHttpHeaders): OutgoingHttpHeaders =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !OF_A_CONNECTION.has(name)))

/** The value of a metadata field that occurs once, or undefined. */
export const metadata = ({ fields }: Call, name: string): string | undefined => {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]
  return undefined
}

/** Who reads a call's one message. */
export interface Judge {
  /** Whose call it is, among others that have to share: of the tenant and the engine together. */
  readonly owner: string
  /** Throws to refuse it. */
  judge(message: Buffer): void
}

/**
 * Resolves when the call is over, for either side.
 * @param session opens the way to the engine; called when the call is known to be allowed
 * @param judge reads the one message of a unary call before any of it is sent
 * @throws Failure while the client has heard nothing; after that the stream says itself how it ended
 */
export const relayCall = async (
  exchange: Exchange,
  call: Call,
  session: () => Promise<ClientHttp2Session>,
  judge: Judge | undefined,
): Promise<void> => {
  if (exchange.isGone) return
  const first = judge && (await readMessage(call, judge.owner, judge.judge))
  try {
    if (exchange.isGone) return
    // an engine may take its time, or never answer: a client that leaves meanwhile waits for nothing
    const channel = await Promise.race([session(), closed(call.stream)])
    if (channel === undefined || exchange.isGone) return
    const cancel = new AbortController()
    const up = channel.request(fieldsOf(call), { signal: cancel.signal })
    first?.sendTo(up)
    await new Joint(call.stream, up, cancel).run(() => channel.destroyed)
  } finally {
    first?.drop()
  }
}

const closed = (stream: ServerHttp2Stream): Promise<undefined> =>
  new Promise((resolve) => {
    if (stream.destroyed) resolve(undefined)
    else stream.once('close', () => resolve(undefined))
  })

/** What ends an answer whose engine has gone: a status that clients show, where a reset would say nothing. */
const LOST = {
  'grpc-status': '14',
  'grpc-message': 'berth: the engine closed the connection in the middle of its answer',
}

/** Two streams that are one call. */
class Joint {
  readonly #down: ServerHttp2Stream
  readonly #up: ClientHttp2Stream
  readonly #cancel: AbortController
  /** The end of a complete answer; an empty list where it was all in the head. */
  #trailers: OutgoingHttpHeaders | undefined
  #areWanted = false

  constructor(down: ServerHttp2Stream, up: ClientHttp2Stream, cancel: AbortController) {
    this.#down = down
    this.#up = up
    this.#cancel = cancel
  }

  /**
   * @param isBroken whether the engine's connection has gone, and not the one stream
   * @throws Failure ENGINE_GONE while the client has heard nothing
   */
  run(isBroken: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const up = this.#up
      const down = this.#down
      // how a stream broke is told by its code, at its end
      up.on('error', () => {})
      let isRefused = false
      // node throws at what it would not send itself, such as a status above 599: nobody else is to suffer for that
      const orRefuse = (pass: () => void): void => {
        try {
          pass()
        } catch (error) {
          isRefused = true
          this.#cancel.abort()
          if (down.headersSent) this.#reset(INTERNAL_ERROR, resolve)
          else reject(new Failure('MALFORMED_RESPONSE', 'its head cannot be passed on', error))
        }
      }
      up.on('response', (headers, flags) =>
        orRefuse(() => this.#respond(headers, (flags & END_STREAM) !== 0)),
      )
      up.on('trailers', (fields) => orRefuse(() => this.#conclude(answered(fields))))
      up.on('close', () => {
        if (isRefused) return
        const isReset = up.rstCode !== NO_ERROR && !isBroken()
        if (isReset) this.#reset(up.rstCode, resolve)
        else if (this.#trailers === undefined && !down.headersSent)
          reject(new Failure('ENGINE_GONE'))
        else this.#finish(resolve)
      })
      down.on('wantTrailers', () => {
        this.#areWanted = true
        this.#conclude(this.#trailers)
      })
      down.on('close', () => {
        // not by `close`, which would end the request first, as if the client had
        if (!up.closed) this.#cancel.abort()
        resolve()
      })
      down.pipe(up)
    })
  }

  #respond(headers: IncomingHttpHeaders, isAll: boolean): void {
    if (!isAnswerable(this.#down)) return
    if (isAll) this.#trailers = {}
    this.#down.respond(answered(headers), isAll ? { endStream: true } : { waitForTrailers: true })
    if (!isAll) this.#up.pipe(this.#down)
  }

  /** Trailers leave when both they and the end of the messages are there. */
  #conclude(trailers: OutgoingHttpHeaders | undefined): void {
    this.#trailers = trailers
    if (this.#areWanted && trailers !== undefined && !this.#down.closed)
      this.#down.sendTrailers(trailers)
  }

  #reset(code: number, done: () => void): void {
    if (!this.#down.closed) this.#down.close(code)
    done()
  }

  /** The engine has said all, or will say no more: a client that goes on is not listened to (RFC 9113 8.1). */
  #finish(done: () => void): void {
    const down = this.#down
    if (this.#trailers === undefined) {
      down.end()
      this.#conclude(LOST)
    }
    if (down.closed || down.readableEnded) return done()
    const close = (): void => {
      if (!down.closed) down.close(NO_ERROR)
      done()
    }
    if (down.writableFinished) close()
    else down.once('finish', close)
  }
}
