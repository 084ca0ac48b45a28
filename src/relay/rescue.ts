/** A failure -> what the client sees: the one place where that is decided. */
import { asFailure, type Failure } from '../errors.ts'
import type { Exchange } from '../exchange.ts'

/**
 * Before a response head has been sent the client gets an answer that says what happened; after that, only a cut
 * connection says truthfully that the rest is missing.
 */
export const rescue = (exchange: Exchange, error: unknown): Failure => {
  const failure = asFailure(error)
  if (exchange.status === 0) exchange.refuse(failure)
  else exchange.abort()
  return failure
}
