/** Reads a request body whole, up to a cap and for a limited time: for the small ones that are judged before they are sent. */
import { Failure } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import { type Conduit, NOBODY, type Receiver } from '../transport/conduit.ts'
import { trackBody } from '../wire/body.ts'

/** A JSON body of a docker client is one packet; this is for the network, not for the client. */
export const COLLECT_SECONDS = 30

const EMPTY = Buffer.alloc(0)

/**
 * @returns the body without its framing; empty where the request has none
 * @throws Failure BODY_TOO_LARGE, BODY_TIMEOUT or MALFORMED_BODY
 */
export const collect = (exchange: Exchange, cap: number): Promise<Buffer> => {
  const { framing } = exchange.head
  if (framing.kind === 'none') return Promise.resolve(EMPTY)
  if (framing.kind === 'length' && framing.length > cap) return Promise.reject(tooLarge(cap))
  return new Promise((resolve, reject) => {
    const { client } = exchange
    const pieces: Buffer[] = []
    let size = 0
    const tracker = trackBody(framing, (bytes, from, to) => {
      size += to - from
      if (size <= cap) pieces.push(Buffer.from(bytes.subarray(from, to)))
    })
    const fail = (failure: Failure): void => {
      clearTimeout(timer)
      client.hold()
      client.receiver = NOBODY
      reject(failure)
    }
    const receiver: Receiver = {
      received(bytes: Buffer, from: Conduit): void {
        const end = tracker.take(bytes, 0, bytes.length)
        if (tracker.isBroken) return fail(new Failure('MALFORMED_BODY', 'broken chunk framing'))
        if (size > cap) return fail(tooLarge(cap))
        if (!tracker.isDone) return
        clearTimeout(timer)
        if (end < bytes.length) {
          from.hold()
          from.unread(bytes.subarray(end))
        }
        exchange.bodyRead()
        resolve(Buffer.concat(pieces, size))
      },
      ended() {
        if (framing.kind !== 'until-close')
          return fail(new Failure('MALFORMED_BODY', 'it ended too early'))
        clearTimeout(timer)
        exchange.bodyRead()
        resolve(Buffer.concat(pieces, size))
      },
      gone: () => {
        clearTimeout(timer)
        reject(new Failure('MALFORMED_BODY', 'the client has gone'))
      },
    }
    const timer = setTimeout(() => fail(new Failure('BODY_TIMEOUT')), COLLECT_SECONDS * 1000)
    client.receiver = receiver
    exchange.invite()
    client.flow()
  })
}

const tooLarge = (cap: number): Failure =>
  new Failure('BODY_TOO_LARGE', `at most ${cap} bytes here`)
