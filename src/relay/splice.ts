/** Joins two connections that have stopped speaking HTTP, until both have ended. It knows no protocol. */
import type { Conduit, Receiver } from '../transport/conduit.ts'

/** How many bytes went which way. */
export interface Spliced {
  readonly up: number
  readonly down: number
}

/** One direction: an end here ends writing there, exactly when it is made. */
class HalfSplice implements Receiver {
  bytes = 0
  readonly #to: Conduit
  readonly #over: () => void

  constructor(to: Conduit, over: () => void) {
    this.#to = to
    this.#over = over
  }

  received(bytes: Buffer, from: Conduit): void {
    this.bytes += bytes.length
    this.#to.forward(bytes, from)
  }

  ended(): void {
    this.#to.finish()
  }

  gone(from: Conduit, error: Error | undefined): void {
    // An error must not reach the other side as an end: docker takes FIN in the middle of an exec for success.
    if (error !== undefined) this.#to.reset()
    // Without a word of its own (destroyed here, or both halves ended): the other side has nobody left to talk to.
    else if (!from.hasEnded || !from.hasFinished) this.#to.destroy()
    this.#over()
  }
}

/**
 * Bytes that either side has sent already are passed first. Resolves when both connections are gone.
 * Half-closes are passed on as made: the docker CLI sends FIN right after the 101 of nearly every run and exec,
 * and reads on.
 */
export const splice = (client: Conduit, engine: Conduit): Promise<Spliced> =>
  new Promise((resolve) => {
    let left = 2
    const over = (): void => {
      if (--left === 0) resolve({ up: up.bytes, down: down.bytes })
    }
    const up = new HalfSplice(engine, over)
    const down = new HalfSplice(client, over)
    start(client, up)
    start(engine, down)
  })

const start = (from: Conduit, half: HalfSplice): void => {
  from.receiver = half
  if (from.isGone) half.gone(from, undefined)
  else if (from.hasEnded && !from.hasUnread) half.ended()
  else from.flow()
}
