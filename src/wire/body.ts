/** Follows a body of any framing to its end: one small tracker a framing, chosen once a message. */
import { ChunkedTracker, type OnData } from './chunked.ts'
import type { Framing } from './head.ts'

/** Where a body is: `take` says how far it reaches into the bytes that came. */
export interface BodyTracker {
  /** Takes `bytes[from, to)`; returns the index of the first byte behind the body (`to` when it goes on). */
  take(bytes: Buffer, from: number, to: number): number
  readonly isDone: boolean
  /** The bytes cannot be of such a body: nothing behind this point may be believed. */
  readonly isBroken: boolean
}

class LengthTracker implements BodyTracker {
  readonly isBroken = false
  #left: number
  readonly #onData: OnData | undefined

  constructor(length: number, onData: OnData | undefined) {
    this.#left = length
    this.#onData = onData
  }

  get isDone(): boolean {
    return this.#left === 0
  }

  take(bytes: Buffer, from: number, to: number): number {
    const next = Math.min(to, from + this.#left)
    if (this.#onData !== undefined && next > from) this.#onData(bytes, from, next)
    this.#left -= next - from
    return next
  }
}

/** RFC 9112 6.3 step 8: whatever comes until the connection ends. Never done by itself. */
class UntilCloseTracker implements BodyTracker {
  readonly isDone = false
  readonly isBroken = false
  readonly #onData: OnData | undefined

  constructor(onData: OnData | undefined) {
    this.#onData = onData
  }

  take(bytes: Buffer, from: number, to: number): number {
    if (this.#onData !== undefined) this.#onData(bytes, from, to)
    return to
  }
}

/** @param onData receives the body without its framing, where somebody wants it */
export const trackBody = (framing: Framing, onData?: OnData): BodyTracker => {
  switch (framing.kind) {
    case 'none':
      return new LengthTracker(0, onData)
    case 'length':
      return new LengthTracker(framing.length, onData)
    case 'chunked':
      return new ChunkedTracker(onData)
    case 'until-close':
      return new UntilCloseTracker(onData)
  }
}

/** For bodies that are all there: it is through with each before the next. */
const ofWhole = new ChunkedTracker()

/** Where a body ends whose bytes are all there, without a tracker of its own; undefined where more have to come. */
export const endOfWhole = (framing: Framing, bytes: Buffer): number | undefined => {
  switch (framing.kind) {
    case 'none':
      return 0
    case 'length':
      return framing.length <= bytes.length ? framing.length : undefined
    case 'chunked':
      return endOfChunks(bytes)
    case 'until-close':
      return undefined
  }
}

const endOfChunks = (bytes: Buffer): number | undefined => {
  ofWhole.begin()
  const end = ofWhole.take(bytes, 0, bytes.length)
  return ofWhole.isDone ? end : undefined
}
