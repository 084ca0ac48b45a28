/** Follows a chunked body (RFC 9112 7.1) to its end without copying it: chunk lines are judged, data is skipped over. */
import { BYTE_CLASS, HEX } from './ascii.ts'

/** What the tracker waits for next. */
const SIZE = 0
const SIZE_LF = 1
const DATA = 2
const DATA_CR = 3
const DATA_LF = 4
const LAST_CR = 5
const LAST_LF = 6
const DONE = 7
const BROKEN = 8

const CR = 13
const LF = 10
const MAX_DIGITS = 16
/** A chunk of 2 GiB and more is refused: 32-bit counters overflow there. */
const MAX_CHUNK = 0x7fffffff
/** Go gives up a body whose lines outweigh its data by more than this; so does this, a little earlier. */
const MAX_EXCESS = 16384
const LINE_ALLOWANCE = 16

const digitOf = (byte: number): number => (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x61 + 10)

/** What a tracker tells about the data it passes, when somebody wants the body without its chunk lines. */
export type OnData = (bytes: Buffer, from: number, to: number) => void

/**
 * Chunk lines are hexadecimal digits and CRLF and nothing else: extensions and trailers, which no docker client
 * sends and parsers disagree about, break the body (CVE-2025-22871, CVE-2023-39326).
 */
export class ChunkedTracker {
  #state = SIZE
  #left = 0
  #digits = 0
  #excess = 0
  readonly #onData: OnData | undefined

  constructor(onData?: OnData) {
    this.#onData = onData
  }

  get isDone(): boolean {
    return this.#state === DONE
  }

  get isBroken(): boolean {
    return this.#state === BROKEN
  }

  /** Follows another body from its first byte on. */
  begin(): void {
    this.#state = SIZE
    this.#left = 0
    this.#digits = 0
    this.#excess = 0
  }

  /** Takes `bytes[from, to)`; returns the index of the first byte that is not of this body, or of the one that broke it. */
  take(bytes: Buffer, from: number, to: number): number {
    let at = from
    while (at < to && this.#state < DONE) {
      if (this.#state === DATA) at = this.#skipData(bytes, at, to)
      else if (this.#step(bytes[at]!)) at++
    }
    return at
  }

  #skipData(bytes: Buffer, at: number, to: number): number {
    const next = Math.min(to, at + this.#left)
    if (this.#onData !== undefined) this.#onData(bytes, at, next)
    this.#left -= next - at
    if (this.#left === 0) this.#state = DATA_CR
    return next
  }

  /** One byte of a chunk line or of a CRLF; false when it does not belong there. */
  #step(byte: number): boolean {
    if (this.#state === SIZE) return this.#sizeByte(byte)
    const expected = this.#state === DATA_CR || this.#state === LAST_CR ? CR : LF
    if (byte !== expected) return this.#break()
    this.#state = this.#next()
    return true
  }

  #sizeByte(byte: number): boolean {
    if (byte === CR && this.#digits > 0) {
      this.#excess = Math.max(0, this.#excess + this.#digits + 4 - LINE_ALLOWANCE - 2 * this.#left)
      if (this.#excess > MAX_EXCESS) return this.#break()
      this.#state = SIZE_LF
      return true
    }
    if ((BYTE_CLASS[byte]! & HEX) === 0 || ++this.#digits > MAX_DIGITS) return this.#break()
    this.#left = this.#left * 16 + digitOf(byte)
    return this.#left <= MAX_CHUNK || this.#break()
  }

  #next(): number {
    switch (this.#state) {
      case SIZE_LF:
        this.#digits = 0
        return this.#left === 0 ? LAST_CR : DATA
      case DATA_CR:
        return DATA_LF
      case DATA_LF:
        return SIZE
      case LAST_CR:
        return LAST_LF
      default:
        return DONE
    }
  }

  #break(): false {
    this.#state = BROKEN
    return false
  }
}
