/** Cuts a head out of a stream of bytes: finds its empty line over any segmentation, looking at each byte once. */
import { Failure } from '../errors.ts'
import type { Front } from './front.ts'

/** 64 KiB: X-Registry-Config may hold the credentials of many registries (nginx 32 KiB, HAProxy 16 KiB, Go 1 MiB). */
export const MAX_HEAD_BYTES = 65536

/** The reader needs more bytes. */
export const NEED_MORE = -1

/** How much of a read is turned into text at once: longer than any head of a docker client, short beside a body. */
const WINDOW = 4096

const EMPTY_LINE = Buffer.from('\r\n\r\n')
const CRLF_CRLF = 0x0d0a0d0a
const CR = 13
const LF = 10

/**
 * A LF without its CR, or a CR that something else than LF follows: RFC 9112 2.2 lets a server read those; this one refuses.
 * Both are pairs of characters, and every pair lies whole in some window: a window begins with the end of the one before.
 */
const BROKEN_LINE_END = /[^\r]\n|\r[^\n]/

const startsEmpty = (bytes: Buffer, from: number): boolean =>
  bytes[from] === CR || bytes[from] === LF

/** In memory of its own: a slice of node's pool would keep 8 KB for as long as a connection lives. */
const copyOf = (bytes: Buffer, from: number, to: number): Buffer => {
  const copy = Buffer.allocUnsafeSlow(to - from)
  bytes.copy(copy, 0, from, to)
  return copy
}

export class HeadReader {
  /** The head without its final empty line, once `read` has found it; only what stands behind the front, where it `hasFront`. */
  text = ''
  hasFront = false
  #seen = ''
  /** The last three characters of `#seen`: what an empty line split between two reads may begin with. */
  #tail = ''
  /** Of the last head that lay in one piece, empty line included. */
  #length = 0
  /** Its bytes, where it came twice and is short: the next head is compared with them before it becomes text. */
  #copy: Buffer | undefined

  /** True between the first byte of a head and its last. */
  get isMidway(): boolean {
    return this.#seen !== ''
  }

  /**
   * Takes `bytes[from, to)` and returns the index just past the head's empty line, or NEED_MORE.
   * @param front what heads begin with, as a rule: it does not become text again
   * @throws Failure HEAD_TOO_LARGE, or MALFORMED_REQUEST at the first line end that is not CRLF
   */
  read(bytes: Buffer, from: number, to: number, front?: Front): number {
    if (this.#seen === '') {
      const whole = this.#readWhole(bytes, from, to, front)
      if (whole !== NEED_MORE) return whole
    }
    let at = from
    while (at < to) {
      const until = Math.min(to, at + WINDOW)
      const end = this.#scan(bytes.toString('latin1', at, until))
      if (end !== NEED_MORE) return at + end
      at = until
    }
    return NEED_MORE
  }

  /**
   * The usual case, a head that lies in one piece: only its own bytes become text, and text of one kind, flat. Slices
   * of longer texts would make every parser behind this one look up properties of strings of several kinds.
   */
  #readWhole(bytes: Buffer, from: number, to: number, front: Front | undefined): number {
    if (this.#isAgain(bytes, from, to, front)) return from + this.#length
    const found = bytes.indexOf(EMPTY_LINE, from)
    const end = found + EMPTY_LINE.length
    if (found === -1 || end > to) return NEED_MORE
    if (startsEmpty(bytes, from)) throw new Failure('MALFORMED_REQUEST', 'an empty line')
    if (end - from > MAX_HEAD_BYTES) throw new Failure('HEAD_TOO_LARGE')
    this.text = bytes.toString('latin1', from, found)
    this.hasFront = false
    this.#length = end - from
    this.#copy = undefined
    return end
  }

  /** Heads of one connection are of one length, as a rule: then the empty line is where it was, and need not be searched. */
  #isAgain(bytes: Buffer, from: number, to: number, front: Front | undefined): boolean {
    const end = from + this.#length
    if (this.#length === 0 || end > to) return false
    if (this.#isCopied(bytes, from, end)) return true
    const textEnd = end - EMPTY_LINE.length
    // an empty line of which this one is the last half would be the first
    if (bytes.readUInt32BE(textEnd) !== CRLF_CRLF || bytes[textEnd - 1] === LF) return false
    const hasFront = front?.leads(bytes, from, textEnd) === true
    const start = hasFront ? from + front.length : from
    const text = bytes.toString('latin1', start, textEnd)
    const isKnown = text === this.text
    if (!isKnown && (text.includes('\r\n\r\n') || startsEmpty(bytes, start))) return false
    // an engine says the same until its clock has gone on by a second
    this.#copy = isKnown && this.#length <= WINDOW ? copyOf(bytes, from, end) : undefined
    this.text = text
    this.hasFront = hasFront
    return true
  }

  #isCopied(bytes: Buffer, from: number, end: number): boolean {
    const copy = this.#copy
    return copy !== undefined && bytes.compare(copy, 0, copy.length, from, end) === 0
  }

  #scan(piece: string): number {
    const window = this.#tail === '' ? piece : this.#tail + piece
    if (this.#seen === '' && (window.startsWith('\r') || window.startsWith('\n')))
      throw new Failure('MALFORMED_REQUEST', 'an empty line')
    const found = window.indexOf('\r\n\r\n')
    const taken = found === -1 ? piece.length : found + 4 - this.#tail.length
    if (this.#seen.length + taken > MAX_HEAD_BYTES) throw new Failure('HEAD_TOO_LARGE')
    if (found !== -1) {
      const text = this.#seen === '' ? piece : this.#seen + piece
      this.text = text.slice(0, this.#seen.length + taken - 4)
      this.hasFront = false
      this.#copy = undefined
      this.#seen = ''
      this.#tail = ''
      return taken
    }
    if (BROKEN_LINE_END.test(window))
      throw new Failure('MALFORMED_REQUEST', 'a line end that is not CRLF')
    this.#seen += piece
    this.#tail = window.slice(-3)
    return NEED_MORE
  }
}
