/** What relay knows of a way to an engine: a connection of HTTP/1.1, or a stream of HTTP/2. */
import type { Failure } from '../errors.ts'
import type { Conduit } from '../transport/conduit.ts'
import type { Draft } from '../transport/draft.ts'
import type { ResponseHead } from '../wire/head.ts'

/**
 * How much of a request the engine may have seen that went unanswered:
 * - `unprocessed`: it has said that it did nothing with it (RFC 9113 8.7)
 * - `untouched`: not a byte of an answer came; it may have been executed
 * - `begun`: an answer had begun
 */
export type Loss = 'unprocessed' | 'untouched' | 'begun'

/** RFC 9110 9.2.1: nothing happens when these are asked twice. */
export const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD'

/**
 * May a request be asked once more, on another connection?
 * @param isWhole its body can be sent again, or there is none
 */
export const mayAskAgain = (
  { uses }: Pick<EngineConnection, 'uses'>,
  method: string,
  loss: Loss,
  isWhole: boolean,
): boolean => {
  if (loss === 'unprocessed') return isWhole
  // A connection that had been used and died before the first byte was closing while the request was on its way
  return loss === 'untouched' && uses > 1 && isSafe(method)
}

/** Interim responses before the final one; engines send none, and a flood of them would keep a client waiting for ever. */
export const MAX_INTERIM = 8

/** Who asked. Exactly one of the two is called, once; after `answered` the asker receives what the conduit reads. */
export interface Asker {
  /** @param rest body bytes that came with the head; lent like all bytes */
  answered(head: ResponseHead, rest: Buffer): void
  unanswered(failure: Failure, loss: Loss): void
}

export interface EngineConnection {
  /** Where the request body goes to and the response body comes from. */
  readonly conduit: Conduit
  /** How many requests its connection has carried. */
  readonly uses: number
  /**
   * True for a stream of HTTP/2: bodies travel without chunk lines, one whose length was not announced ends with the
   * stream, and no other request follows.
   */
  readonly isStream: boolean
  /**
   * Sends a request head (with a short body in it, maybe) and delivers the response head to `asker`.
   * @param head as HTTP/1.1 writes it; a draft may hold a short body too
   */
  ask(head: string | Draft, method: string, asker: Asker): void
  /** The request body has been written to its end. */
  bodySent(): void
}
