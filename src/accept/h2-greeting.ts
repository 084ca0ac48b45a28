/** Greets an HTTP/2 client and looks at its first request, without taking anything from whoever will serve it. */
import type { Conduit, Receiver } from '../transport/conduit.ts'
import { FLAG, FRAME, FRAME_HEAD_BYTES, type WholeFrame, wholeFrames } from './h2-frames.ts'
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
const MS = 1000

/** What a client may say before its first request. */
const PREAMBLE: ReadonlySet<number> = new Set([
  FRAME.SETTINGS,
  FRAME.WINDOW_UPDATE,
  FRAME.PRIORITY,
  FRAME.HEADERS,
])

interface Look {
  asked: FirstAsked | undefined
  /** The acknowledgement of the SETTINGS above: nobody else has asked for it. */
  acknowledgement: WholeFrame | undefined
}

const look = (bytes: Buffer): Look => {
  const found: Look = { asked: undefined, acknowledgement: undefined }
  for (const frame of wholeFrames(bytes, PREFACE.length)) {
    if (frame.type === FRAME.SETTINGS && (frame.flags & FLAG.ACK) !== 0)
      found.acknowledgement ??= frame
    else if (!PREAMBLE.has(frame.type)) found.asked ??= 'other'
    else if (frame.type === FRAME.HEADERS) found.asked ??= typeOf(bytes, frame)
  }
  return found
}

const typeOf = (bytes: Buffer, { start, end }: WholeFrame): FirstAsked => {
  const block = bytes.subarray(start + FRAME_HEAD_BYTES, end)
  return GRPC_TYPES.some((type) => block.includes(type)) ? 'grpc' : 'other'
}

/** Clients that mean to call at once do; the others are served by whoever answers their pings meanwhile. */
const PATIENCE_MS = 1000

/**
 * @param seconds how long the client may take to acknowledge; then it is gone
 * @param then the conduit is held, and will deliver everything that the client has said but its acknowledgement
 */
export const greet = (
  conduit: Conduit,
  seconds: number,
  then: (asked: FirstAsked) => void,
): void => {
  let seen = Buffer.alloc(0)
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
    const { asked, acknowledgement } = look(seen)
    const isOver = acknowledgement !== undefined && (asked !== undefined || isLate)
    if (!isOver && seen.length <= MAX_GREETING_BYTES) return
    stop()
    conduit.hold()
    conduit.unread(acknowledgement === undefined ? seen : without(seen, acknowledgement))
    then(asked ?? 'other')
  }
  const receiver: Receiver = {
    received(bytes) {
      seen = Buffer.concat([seen, bytes])
      decide()
    },
    ended: () => conduit.destroy(),
    gone: stop,
  }
  conduit.receiver = receiver
  conduit.send(EMPTY_SETTINGS)
  conduit.flow()
}

const without = (bytes: Buffer, { start, end }: WholeFrame): Buffer =>
  Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])
