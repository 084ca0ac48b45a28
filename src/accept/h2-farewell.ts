/** The last words on an HTTP/2 connection, said so that they arrive. */
import type { Conduit, Receiver } from '../transport/conduit.ts'
import { FRAME, FRAME_HEAD_BYTES } from './h2-frames.ts'

/** How long and how much of what still comes is thrown away: closing on unread bytes would reset the last words away. */
const LINGER_MS = 2000
const LINGER_BYTES = 1 << 20

/** Half-closes, and reads what still comes for a while. */
export const linger = (conduit: Conduit): void => {
  if (conduit.isGone) return
  let lingered = 0
  const timer = setTimeout(() => conduit.destroy(), LINGER_MS)
  const receiver: Receiver = {
    received(bytes) {
      lingered += bytes.length
      if (lingered > LINGER_BYTES) conduit.destroy()
    },
    ended() {},
    gone: () => clearTimeout(timer),
  }
  conduit.receiver = receiver
  conduit.finish()
  conduit.flow()
}

/** RFC 9113 6.8: the last stream that was or may be processed, of which there is none; then why. */
const GOAWAY_BYTES = 8

/** Ends a connection on which nothing has been served. */
export const dismiss = (conduit: Conduit, errorCode: number): void => {
  const goaway = Buffer.alloc(FRAME_HEAD_BYTES + GOAWAY_BYTES)
  goaway[2] = GOAWAY_BYTES
  goaway[3] = FRAME.GOAWAY
  goaway.writeUInt32BE(errorCode, goaway.length - 4)
  conduit.send(goaway)
  linger(conduit)
}
