/** Reads a response body whole: for the few small answers that are amended on their way, or that berth itself has asked for. */
import { Failure } from '../errors.ts'
import type { Conduit } from '../transport/conduit.ts'
import { trackBody } from '../wire/body.ts'
import type { Framing } from '../wire/head.ts'

/**
 * @param first body bytes that came with the head
 * @param cap the most bytes it may have
 * @returns the body without its framing; bytes behind it wait in the conduit
 * @throws Failure MALFORMED_RESPONSE or ENGINE_GONE
 */
export const collectAnswer = (
  from: Conduit,
  framing: Framing,
  first: Buffer,
  cap: number,
): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const pieces: Buffer[] = []
    let size = 0
    const tracker = trackBody(framing, (bytes, start, end) => {
      size += end - start
      if (size <= cap) pieces.push(Buffer.from(bytes.subarray(start, end)))
    })
    const take = (bytes: Buffer): void => {
      const end = tracker.take(bytes, 0, bytes.length)
      if (tracker.isBroken || size > cap)
        reject(new Failure('MALFORMED_RESPONSE', 'its body is broken or too long'))
      else if (tracker.isDone) {
        if (end < bytes.length) {
          from.hold()
          from.unread(bytes.subarray(end))
        }
        resolve(Buffer.concat(pieces))
      }
    }
    const cut = (): void => reject(new Failure('ENGINE_GONE', 'in the middle of its answer'))
    const ended = framing.kind === 'until-close' ? () => resolve(Buffer.concat(pieces)) : cut
    from.receiver = { received: take, ended, gone: cut }
    take(first)
  })
