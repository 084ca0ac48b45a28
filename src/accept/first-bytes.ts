/** Waits for the first bytes of a connection, for those who have to see them before anybody reads on. */
import type { Conduit, Receiver } from '../transport/conduit.ts'

/** What a look at the first bytes answers when it needs more of them. */
export const NOT_YET = -1

const MS = 1000

/**
 * Shows `look` everything read so far, again and again, until it answers something else than NOT_YET. The conduit is
 * held from then on; whoever takes it over lets it flow. A connection that says too little for too long is closed.
 */
export const awaitFirst = (
  conduit: Conduit,
  seconds: number,
  look: (bytes: Buffer) => number,
): void => {
  let seen: Buffer | undefined
  const timer = setTimeout(() => conduit.destroy(), seconds * MS)
  const receiver: Receiver = {
    received(bytes) {
      seen = seen === undefined ? Buffer.from(bytes) : Buffer.concat([seen, bytes])
      conduit.hold()
      if (look(seen) === NOT_YET) conduit.flow()
      else clearTimeout(timer)
    },
    ended: () => conduit.destroy(),
    gone: () => clearTimeout(timer),
  }
  conduit.receiver = receiver
}
