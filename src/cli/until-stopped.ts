/** How a server ends: at a signal it lets what is under way go on for a while, at a second one it does not. */
import type { Io } from './io.ts'

/**
 * @param seconds how long what is under way may go on
 * @param stop ends everything; what it is given resolves when that has to be now
 */
export const untilStopped = async (
  io: Io,
  seconds: number,
  stop: (now: Promise<unknown>) => Promise<unknown>,
): Promise<void> => {
  await io.signal()
  io.err(
    `berth: stopping; what is under way has ${seconds} seconds to end, and a second signal ends it now`,
  )
  await stop(io.signal())
}
