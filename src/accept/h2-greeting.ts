/** Greets an HTTP/2 client and looks at its first request, without taking anything from whoever will serve it. */
import type { Conduit, Receiver } from '../transport/conduit.ts'
import { dismiss } from './h2-farewell.ts'
import { FLAG, FRAME, FRAME_HEAD_BYTES, type WholeFrame, wholeFrames } from './h2-frames.ts'
import { type Abuse, H2Guard } from './h2-guard.ts'
import { PREFACE } from './sniff.ts'

/**
 * What the first request looks like. `grpc` may be wrong in both directions without harm: whoever gets the connection
 * for it serves nothing but gRPC, and the others serve gRPC too.
 */
export type FirstAsked = 'grpc' | 'other'

/** RFC 9113 3.4: clients such as grpc-go say nothing before they have seen the server's SETTINGS. These promise nothing. */
const EMPTY_SETTINGS = Buffer.from([0, 0, 0, FRAME.SETTINGS, 0, 0, 0, 0, 0])

/** `application/grpc` in a header block: as it is, and in HPACK's Huffman code (RFC 7541 B), up to its last whole byte. */
const GRPC_TYPES = [
  Buffer.from('application/grpc'),
  Buffer.from('1d75d0620d263d4c4d6564', 'hex'),
] as const

/** More than a client may send before it has to wait for a window. */
const MAX_GREETING_BYTES = 128 << 10
/** Ample for what most clients say before their first request. */
const FIRST_BYTES = 512
const MS = 1000

/** What a client may say before its first request. */
const PREAMBLE: ReadonlySet<number> = new Set([
  FRAME.SETTINGS,
  FRAME.WINDOW_UPDATE,
  FRAME.PRIORITY,
  FRAME.HEADERS,
])

/** What has been read so far, and what was in it. */
class Heard {
  asked: FirstAsked | undefined
  /** The acknowledgement of the SETTINGS above: nobody else has asked for it. */
  #acknowledgement: WholeFrame | undefined
  #buffer = Buffer.allocUnsafe(FIRST_BYTES)
  #length = 0
  /** Where the first frame begins that is not whole yet. */
  #at = PREFACE.length

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  get isAcknowledged(): boolean {
    return this.#acknowledgement !== undefined
  }

  take(bytes: Buffer): void {
    const length = this.#length + bytes.length
    if (length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(2 * length)
      this.#buffer.copy(larger, 0, 0, this.#length)
      this.#buffer = larger
    }
    bytes.copy(this.#buffer, this.#length)
    this.#length = length
    for (const frame of wholeFrames(this.bytes, this.#at)) this.#look(frame)
  }

  #look(frame: WholeFrame): void {
    this.#at = frame.end
    if (frame.type === FRAME.SETTINGS && (frame.flags & FLAG.ACK) !== 0)
      this.#acknowledgement ??= frame
    else if (!PREAMBLE.has(frame.type)) this.asked ??= 'other'
    else if (frame.type === FRAME.HEADERS) this.asked ??= typeOf(this.bytes, frame)
  }

  /** What whoever serves the connection is to read. */
  get rest(): Buffer {
    const { bytes } = this
    if (this.#acknowledgement === undefined) return bytes
    const { start, end } = this.#acknowledgement
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])
  }
}

const typeOf = (bytes: Buffer, { start, end }: WholeFrame): FirstAsked => {
  const block = bytes.subarray(start + FRAME_HEAD_BYTES, end)
  return GRPC_TYPES.some((type) => block.includes(type)) ? 'grpc' : 'other'
}

/** Clients that mean to call at once do; the others are served by whoever answers their pings meanwhile. */
const PATIENCE_MS = 1000

/** Whom a client that has been greeted is handed to. */
export interface Greeted {
  /** The conduit is held, and will deliver everything that the client has said but its acknowledgement. */
  asked(asked: FirstAsked): void
  /** It has been shown the door. */
  flooded(abuse: Abuse): void
}

/** @param seconds how long the client may take to acknowledge; then it is gone */
export const greet = (conduit: Conduit, seconds: number, whom: Greeted): void => {
  const heard = new Heard()
  const guard = new H2Guard()
  let isLate = false
  const leave = setTimeout(() => conduit.destroy(), seconds * MS)
  const late = setTimeout(() => {
    isLate = true
    decide()
  }, PATIENCE_MS)
  const stop = (): void => {
    clearTimeout(leave)
    clearTimeout(late)
  }
  const decide = (): void => {
    const isOver = heard.isAcknowledged && (heard.asked !== undefined || isLate)
    if (!isOver && heard.bytes.length <= MAX_GREETING_BYTES) return
    stop()
    conduit.hold()
    conduit.unread(heard.rest)
    whom.asked(heard.asked ?? 'other')
  }
  const end = (abuse: Abuse): void => {
    stop()
    dismiss(conduit, abuse.code)
    whom.flooded(abuse)
  }
  const receiver: Receiver = {
    received(bytes) {
      const preface = Math.max(0, PREFACE.length - heard.bytes.length)
      heard.take(bytes)
      guard.received(bytes.subarray(preface), performance.now())
      if (guard.abuse === undefined) decide()
      else end(guard.abuse)
    },
    ended: () => conduit.destroy(),
    gone: stop,
  }
  conduit.receiver = receiver
  conduit.send(EMPTY_SETTINGS)
  conduit.flow()
}
