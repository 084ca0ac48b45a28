/** Copies one framed body from a conduit to another, and stops exactly at its end. */
import { asFailure, type Failure } from '../errors.ts'
import type { Conduit, Receiver } from '../transport/conduit.ts'
import { type BodyTracker, trackBody } from '../wire/body.ts'
import type { OnData } from '../wire/chunked.ts'
import type { Framing } from '../wire/head.ts'
import type { Watch } from './errand.ts'

/** Hears how a body ended; one of the four, once. */
export interface PumpOwner {
  /** The body has passed to its end and been taken by the sink. Bytes behind it wait in the source. */
  pumped(pump: Pump): void
  /** The source ended or died in the middle of the body. */
  pumpCut(pump: Pump, error: Error | undefined): void
  /** The bytes are no such body. */
  pumpBroken(pump: Pump): void
  /** The body has come to its end, and what was to be done then could not be: nobody is to take it for done. */
  pumpFailed(pump: Pump, failure: Failure): void
}

/** What becomes of chunk lines: they stay, or not, as they are; are taken away; are put in. */
export type Coding = 'as it is' | 'decode' | 'encode'

/** How a body framed one way is written another: by adding or taking away chunk lines, or not at all. */
export const codingFrom = (from: Framing, to: Framing): Coding => {
  if ((from.kind === 'chunked') === (to.kind === 'chunked')) return 'as it is'
  return to.kind === 'chunked' ? 'encode' : 'decode'
}

const CRLF = Buffer.from('\r\n')
const LAST_CHUNK = '0\r\n\r\n'

/** RFC 9112 7.1. Only bodies out of HTTP/2 come here, in pieces of a frame, so that the copy is a short one. */
const chunk = (data: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`, 'latin1'), data, CRLF])

export class Pump implements Receiver {
  readonly source: Conduit
  readonly #sink: Conduit
  readonly #tracker: BodyTracker
  readonly #owner: PumpOwner
  readonly #framing: Framing
  readonly #coding: Coding
  readonly #watch: Watch | undefined
  #isOver = false

  /**
   * @param watch needs a coding: what passes as it is, nobody reads
   * @param begun what has counted the body bytes that came with the head, if any
   */
  constructor(
    source: Conduit,
    sink: Conduit,
    framing: Framing,
    owner: PumpOwner,
    coding: Coding,
    watch?: Watch,
    begun?: BodyTracker,
  ) {
    this.source = source
    this.#sink = sink
    this.#framing = framing
    this.#owner = owner
    this.#coding = coding
    this.#watch = watch
    this.#tracker = begun ?? trackBody(framing, coding === 'as it is' ? undefined : this.#passing())
  }

  /** Takes the source over, from its next byte on. */
  start(): void {
    this.source.receiver = this
    if (this.source.hasEnded && !this.source.hasUnread) this.ended()
    else this.source.flow()
  }

  /** For the tracker: hands the body on without, or with other, chunk lines. */
  #passing(): OnData {
    return (bytes, from, to) => {
      const data = bytes.subarray(from, to)
      this.#watch?.saw(data)
      this.#sink.forward(this.#coding === 'encode' ? chunk(data) : data, this.source)
    }
  }

  received(bytes: Buffer, from: Conduit): void {
    if (this.#isOver) return keep(bytes, from)
    const end = this.#tracker.take(bytes, 0, bytes.length)
    if (this.#tracker.isBroken) {
      this.#over()
      this.#owner.pumpBroken(this)
      return
    }
    if (this.#coding === 'as it is')
      this.#sink.forward(end === bytes.length ? bytes : bytes.subarray(0, end), from)
    if (!this.#tracker.isDone) return
    if (end < bytes.length) keep(bytes.subarray(end), from)
    this.#finish()
  }

  #finish(): void {
    this.#over()
    if (this.#watch === undefined) return this.#sayEnd()
    this.#watch.ended().then(
      () => this.#sayEnd(),
      (error) => this.#owner.pumpFailed(this, asFailure(error)),
    )
  }

  #sayEnd(): void {
    if (this.#coding === 'encode') this.#sink.say(LAST_CHUNK)
    this.#sink.whenTaken(() => this.#owner.pumped(this))
  }

  ended(): void {
    if (this.#isOver) return
    if (this.#framing.kind === 'until-close') this.#finish()
    else {
      this.#over()
      this.#owner.pumpCut(this, undefined)
    }
  }

  gone(from: Conduit, error: Error | undefined): void {
    if (this.#isOver) return
    // a stream of HTTP/2 closes by itself once it has ended, while a slow sink still takes what it brought
    if (error === undefined && from.hasEnded && !from.hasUnread) return this.ended()
    this.#over()
    this.#owner.pumpCut(this, error)
  }

  #over(): void {
    this.#isOver = true
  }
}

/** What follows a body is for whoever comes after this pump. */
const keep = (bytes: Buffer, from: Conduit): void => {
  from.hold()
  from.unread(bytes)
}
