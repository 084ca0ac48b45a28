/** The last words on an HTTP/2 connection, said so that they arrive. */
import type { Conduit } from '../transport/conduit.ts'
import { FRAME, FRAME_HEAD_BYTES } from './h2-frames.ts'
import { linger } from './linger.ts'

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
