/** Asks a builder whether it grants what reaches beyond a build: where it grants nothing, builds need not be read. */
import type { ClientHttp2Session } from 'node:http2'
import { type GrpcTarget, openSession } from '../upstream/h2.ts'
import { prefixed } from './grpc-message.ts'

/** A builder's configuration changes with its restart only; after so long a time it is asked again all the same. */
const KNOWN_FOR_MS = 30_000
const PATIENCE_MS = 5000

/** What is asked, and how a refusal is told from any other answer. */
export interface GrantQuestion {
  readonly method: string
  /** One message for each thing that could be granted. */
  readonly messages: () => readonly Uint8Array[]
  /** @param status the text of the gRPC status that the call ended with */
  readonly isRefusal: (status: string) => boolean
}

interface Known {
  readonly until: number
  readonly grantsNothing: Promise<boolean>
}

/** What builders grant, as far as they have been asked. */
export class Grants {
  readonly #question: GrantQuestion
  /** By engine pool, or by buildkitd address. */
  readonly #known = new WeakMap<object, Known>()

  constructor(question: GrantQuestion) {
    this.#question = question
  }

  /** True only where every question was refused: an answer that is not understood, or none, counts as a grant. */
  areNone(target: GrpcTarget): Promise<boolean> {
    const builder = target.kind === 'engine' ? target.pool : target.address
    const known = this.#known.get(builder)
    if (known !== undefined && performance.now() < known.until) return known.grantsNothing
    const grantsNothing = this.#ask(target).catch(() => false)
    this.#known.set(builder, { until: performance.now() + KNOWN_FOR_MS, grantsNothing })
    return grantsNothing
  }

  async #ask(target: GrpcTarget): Promise<boolean> {
    const { method, messages, isRefusal } = this.#question
    const session = await openSession(target)
    const timer = setTimeout(() => session.destroy(), PATIENCE_MS)
    try {
      const statuses = await Promise.all(messages().map((one) => statusOf(session, method, one)))
      return statuses.every(isRefusal)
    } finally {
      clearTimeout(timer)
      session.destroy()
    }
  }
}

/** The message of the status of a unary call: empty where it went well, or broke. */
const statusOf = (
  session: ClientHttp2Session,
  method: string,
  message: Uint8Array,
): Promise<string> =>
  new Promise((resolve) => {
    let status = ''
    const stream = session.request({
      ':method': 'POST',
      ':path': method,
      'content-type': 'application/grpc',
      'user-agent': 'berth',
      te: 'trailers',
    })
    const read = (fields: { readonly [name: string]: unknown }): void => {
      status = String(fields['grpc-message'] ?? status)
    }
    // an answer without messages has its status in the head
    stream
      .on('response', read)
      .on('trailers', read)
      .on('error', () => {})
    stream.on('close', () => resolve(status))
    stream.resume()
    stream.end(prefixed(message))
  })
