/** HTTP/2 frame heads (RFC 9113 4.1) in a stream of bytes: read for counting and for a first look, never for meaning. */

export const FRAME_HEAD_BYTES = 9

/** RFC 9113 6: frame types. */
export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const

/** RFC 9113 6: flags; END_STREAM and ACK are the same bit on different frames. */
export const FLAG = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8 } as const

export interface FrameHead {
  /** Bytes of payload behind the head. */
  readonly length: number
  readonly type: number
  readonly flags: number
  /** The error code of a RST_STREAM, otherwise 0. */
  readonly errorCode: number
}

const ERROR_CODE_BYTES = 4

/** The frame head at `bytes[at]`, of which all `FRAME_HEAD_BYTES` are there. */
const readHead = (bytes: Buffer, at: number): FrameHead => ({
  length: bytes.readUIntBE(at, 3),
  type: bytes.readUInt8(at + 3),
  flags: bytes.readUInt8(at + 4),
  errorCode: 0,
})

/** Reads the frame heads in a stream of bytes, however they are cut; payloads are skipped over. */
export class FrameScanner {
  readonly #onFrame: (head: FrameHead) => boolean
  /** A head of which only the beginning has come. */
  readonly #partial = Buffer.alloc(FRAME_HEAD_BYTES + ERROR_CODE_BYTES)
  #collected = 0
  /** Payload bytes still to be skipped. */
  #skip = 0

  /** @param onFrame hears of each frame; false ends the scan */
  constructor(onFrame: (head: FrameHead) => boolean) {
    this.#onFrame = onFrame
  }

  take(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - at)
        this.#skip -= skipped
        at += skipped
        continue
      }
      at = this.#collect(bytes, at)
      if (this.#collected === this.#wanted() && !this.#finish()) return
    }
  }

  #collect(bytes: Buffer, from: number): number {
    const taken = bytes.copy(
      this.#partial,
      this.#collected,
      from,
      from + this.#wanted() - this.#collected,
    )
    this.#collected += taken
    return from + taken
  }

  /** A RST_STREAM is read with its error code, every other frame without its payload. */
  #wanted(): number {
    const isReset =
      this.#collected >= FRAME_HEAD_BYTES &&
      this.#partial[3] === FRAME.RST_STREAM &&
      this.#partial.readUIntBE(0, 3) === ERROR_CODE_BYTES
    return isReset ? FRAME_HEAD_BYTES + ERROR_CODE_BYTES : FRAME_HEAD_BYTES
  }

  #finish(): boolean {
    const head = readHead(this.#partial, 0)
    const hasCode = this.#collected > FRAME_HEAD_BYTES
    this.#skip = hasCode ? 0 : head.length
    this.#collected = 0
    return this.#onFrame(
      hasCode ? { ...head, errorCode: this.#partial.readUInt32BE(FRAME_HEAD_BYTES) } : head,
    )
  }
}

/** A whole frame in a buffer: its head, and where it begins and ends. */
export interface WholeFrame extends FrameHead {
  readonly start: number
  readonly end: number
}

/** The whole frames in `bytes[from, ...)`, in order; what comes behind the last one is cut short. */
export const wholeFrames = function* (bytes: Buffer, from: number): Generator<WholeFrame> {
  for (let start = from; start + FRAME_HEAD_BYTES <= bytes.length; ) {
    const head = readHead(bytes, start)
    const end = start + FRAME_HEAD_BYTES + head.length
    if (end > bytes.length) return
    yield { ...head, start, end }
    start = end
  }
}
