/** Closes a connection so that its last words arrive: closing on unread bytes would reset them away (RFC 9112 9.6). */
import type { Conduit, Receiver } from '../transport/conduit.ts'

/** How long and how much of what still comes is thrown away. */
export interface Patience {
  readonly ms: number
  readonly bytes: number
}

/** Enough for what is on its way of a body that nobody wants. */
const USUAL: Patience = { ms: 2000, bytes: 1 << 20 }

/** Half-closes, and reads what still comes for a while. */
export const linger = (conduit: Conduit, { ms, bytes: most }: Patience = USUAL): void => {
  if (conduit.isGone) return
  let lingered = 0
  const timer = setTimeout(() => conduit.destroy(), ms)
  const receiver: Receiver = {
    received(bytes) {
      lingered += bytes.length
      if (lingered > most) conduit.destroy()
    },
    ended() {},
    gone: () => clearTimeout(timer),
  }
  conduit.receiver = receiver
  conduit.finish()
  conduit.flow()
}
