/** One request on a connection of HTTP/2 that it shares with others: a stream, with what relay knows of a connection. */
import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2'
import { asFailure, Failure } from '../errors.ts'
import { adoptStream } from '../transport/adopt.ts'
import { type Conduit, NOBODY, type Receiver } from '../transport/conduit.ts'
import { type Asker, type EngineConnection, type Loss, MAX_INTERIM } from './connection.ts'
import { parseResponseFields } from './h2-head.ts'
import { lossOf } from './reasons.ts'

/** RFC 9113 7 and 6.1. */
const REFUSED_STREAM = 7
const END_STREAM = 1

const EMPTY = Buffer.alloc(0)

export class UpstreamStream implements EngineConnection, Receiver {
  readonly isStream = true
  readonly conduit: Conduit
  readonly uses: number
  readonly #stream: ClientHttp2Stream
  readonly #cancel: AbortController
  #asker: Asker | undefined
  #isAnswered = false
  #method = ''
  #interim = 0

  /**
   * @param stream whose head is on its way
   * @param cancel resets the stream, without a word that it were complete
   * @param uses how many streams its connection has carried, this one included
   */
  constructor(stream: ClientHttp2Stream, cancel: AbortController, uses: number) {
    this.uses = uses
    this.#stream = stream
    this.#cancel = cancel
    this.conduit = adoptStream(stream)
    this.conduit.hold()
    this.conduit.receiver = this
    stream.on('response', this.#onResponse).on('headers', this.#onInterim)
  }

  /** The head has been sent by whoever opened the stream: no stream begins without one. */
  ask(_: unknown, method: string, asker: Asker): void {
    this.#asker = asker
    this.#method = method
    if (this.conduit.isGone) this.gone(this.conduit, undefined)
  }

  bodySent(): void {
    this.conduit.finish()
  }

  /** Nobody asks for anything more: what is complete ends by itself, all else is cancelled. */
  leave(isComplete: boolean): void {
    this.#asker = undefined
    this.conduit.receiver = NOBODY
    if (isComplete && this.#isAnswered) this.conduit.flow()
    else if (!this.conduit.isGone) this.#cancel.abort()
  }

  readonly #onResponse = (
    _: IncomingHttpHeaders & IncomingHttpStatusHeader,
    flags: number,
    list?: readonly string[],
  ): void => {
    const asker = this.#asker
    if (asker === undefined) return
    this.#asker = undefined
    this.#isAnswered = true
    try {
      const isAll = (flags & END_STREAM) !== 0
      asker.answered(parseResponseFields(list ?? [], this.#method, isAll), EMPTY)
    } catch (error) {
      return this.#refuse(asker, error)
    }
    // whoever had to wait for something has become the receiver by now
    this.conduit.flow()
  }

  readonly #onInterim = (): void => {
    const asker = this.#asker
    if (++this.#interim <= MAX_INTERIM || asker === undefined) return
    this.#asker = undefined
    this.#refuse(asker, new Failure('MALFORMED_RESPONSE', 'interim responses without end'))
  }

  #refuse(asker: Asker, error: unknown): void {
    this.leave(false)
    asker.unanswered(asFailure(error), 'begun')
  }

  received(): void {}

  ended(): void {
    this.gone(this.conduit, undefined)
  }

  gone(_: Conduit, error: Error | undefined): void {
    const asker = this.#asker
    this.#asker = undefined
    asker?.unanswered(lossOf(error), this.#loss)
  }

  get #loss(): Loss {
    if (this.#stream.rstCode === REFUSED_STREAM) return 'unprocessed'
    return this.#interim === 0 ? 'untouched' : 'begun'
  }
}
