/** One HTTP/2 stream as an exchange: heads as field lists, bodies as DATA. */
import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { FAILURES, Failure } from '../errors.ts'
import type { Call, Connection, Exchange, Follower } from '../exchange.ts'
import { adoptStream, isAnswerable } from '../transport/adopt.ts'
import { type Conduit, NOBODY } from '../transport/conduit.ts'
import type { RequestHead, ResponseHead } from '../wire/head.ts'
import { refuseCall } from './grpc-refusal.ts'
import { H2_ERROR } from './h2-guard.ts'

/** What an exchange needs to know of the connection it came on. */
export interface H2Carrier {
  readonly facts: Connection
  readonly apiVersion: string
}

const LAST_STATUS = 599

export class H2Exchange implements Exchange {
  readonly id: string
  readonly head: RequestHead
  readonly call: Call | undefined
  readonly takesPlainBody = true
  readonly canHijack = false
  isGone = false
  follower: Follower | undefined
  readonly #stream: ServerHttp2Stream
  #client: Conduit | undefined
  readonly #carrier: H2Carrier
  #isBodyRead: boolean
  #isOver = false

  constructor(
    id: string,
    head: RequestHead,
    stream: ServerHttp2Stream,
    carrier: H2Carrier,
    call: Call | undefined,
  ) {
    this.id = id
    this.head = head
    this.call = call
    this.#stream = stream
    this.#carrier = carrier
    this.#isBodyRead = head.framing.kind === 'none'
    stream.once('close', this.#onClose)
  }

  get client(): Conduit {
    if (this.#client === undefined) {
      this.#client = adoptStream(this.#stream)
      this.#client.hold()
    }
    return this.#client
  }

  get status(): number {
    return this.#stream.headersSent ? Number(this.#stream.sentHeaders?.[':status']) : 0
  }

  get connection(): Connection {
    return this.#carrier.facts
  }

  invite(): void {}

  bodyRead(): void {
    this.#isBodyRead = true
    this.client.receiver = NOBODY
    this.client.flow()
  }

  /** @throws Failure MALFORMED_RESPONSE for a status that is none (RFC 9110 15), at which node would throw */
  respond(head: ResponseHead, first: Buffer, from: Conduit): void {
    if (head.status > LAST_STATUS)
      throw new Failure('MALFORMED_RESPONSE', `status ${head.status} in HTTP/2`)
    const isEmpty = head.framing.kind === 'none'
    if (this.#answer(responseFields(head), isEmpty) && first.length > 0)
      this.client.forward(first, from)
  }

  /** False where nobody can be answered any more. */
  #answer(fields: OutgoingHttpHeaders, endStream: boolean): boolean {
    if (!isAnswerable(this.#stream)) return false
    this.#stream.respond(fields, { endStream })
    return true
  }

  hijack(): void {
    throw new Error('a stream of HTTP/2 was about to be hijacked')
  }

  speakH2(): void {
    throw new Error('HTTP/2 was about to be spoken inside HTTP/2')
  }

  refuse(failure: Failure): void {
    if (this.#isOver || this.isGone) return
    const says = `berth: ${failure.message} (request ${this.id})`
    if (this.call !== undefined) {
      refuseCall(this.#stream, FAILURES[failure.code].grpc, says)
    } else {
      const body = JSON.stringify({
        message: failure.code === 'NO_SUCH_ROUTE' ? failure.message : says,
      })
      const bytes = Buffer.from(`${body}\n`)
      const isHead = this.head.method === 'HEAD'
      const fields = refusalFields(failure.status, this.#carrier.apiVersion, bytes.length)
      if (this.#answer(fields, isHead) && !isHead) this.#stream.write(bytes)
    }
    this.end()
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stream.end()
    if (this.#isBodyRead) return
    // RFC 9113 8.1: the answer is complete, and the rest of the request is not wanted
    this.#stream.once('finish', () => this.#stream.close(H2_ERROR.NO_ERROR))
  }

  abort(): void {
    if (this.#isOver) return
    this.#isOver = true
    // not by `close`, which would end the body first, as if it were complete
    this.#stream.destroy(new Error('the answer cannot be completed'))
  }

  readonly #onClose = (): void => {
    if (this.#isOver || this.isGone) return
    this.isGone = true
    this.follower?.clientGone()
  }
}

const refusalFields = (
  status: number,
  apiVersion: string,
  length: number,
): OutgoingHttpHeaders => ({
  ':status': status,
  'api-version': apiVersion,
  'content-type': 'application/json',
  'docker-experimental': 'false',
  ostype: 'linux',
  server: 'berth',
  'content-length': length,
})

/** RFC 9113 8.3.2: the status is a pseudo-header field, and names are lower-case. */
const responseFields = (head: ResponseHead): OutgoingHttpHeaders => {
  const fields: Record<string, string | string[] | number> = { ':status': head.status }
  for (const line of head.fields.split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon === -1) continue
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 2)
    const before = fields[name]
    if (before === undefined) fields[name] = value
    else fields[name] = Array.isArray(before) ? [...before, value] : [String(before), value]
  }
  if (head.framing.kind === 'length') fields['content-length'] = head.framing.length
  else if (head.announcedLength !== undefined) fields['content-length'] = head.announcedLength
  return fields
}
