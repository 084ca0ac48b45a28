/** An HTTP/1 exchange: heads as text, bodies as the bytes of one connection. */
import type { Failure } from '../errors.ts'
import type { Connection, Exchange, Follower } from '../exchange.ts'
import type { Conduit } from '../transport/conduit.ts'
import { Draft, SHORT_BODY_BYTES } from '../transport/draft.ts'
import { type Framing, type RequestHead, type ResponseHead, UNTIL_CLOSE } from '../wire/head.ts'
import { CONTINUE, statusLine, writeResponseHead } from '../wire/write-head.ts'

/** The connection's side of an exchange. */
export interface Carrier {
  readonly facts: Connection
  readonly conduit: Conduit
  /** The API version that berth's own answers name: a ping without one makes every client fall back to 1.24. */
  readonly apiVersion: string
  readonly isDraining: boolean
  newId(): string
  /** Takes the conduit's bytes again. */
  takeBack(): void
  /** The connection stops being HTTP. */
  hijacked(): void
  /** The connection speaks HTTP/2 from here on, gRPC only; with an objection, each call is answered with that. */
  becomeH2(objection: Failure | undefined): void
  /** @param reusable whether another request may follow on this connection */
  finished(reusable: boolean): void
}

/** As engines write it. */
const SWITCHING_TO_H2C =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'

/** Short responses, each written as soon as it is put together. */
const draft = new Draft()

const GRPC_PATH = /^(?:\/v[0-9.]+)?\/grpc$/

export class H1Exchange implements Exchange {
  readonly head: RequestHead
  readonly #carrier: Carrier
  #id: string | undefined
  status = 0
  isGone = false
  follower: Follower | undefined
  #isBodyRead: boolean
  #closes = false
  #isOver = false

  constructor(head: RequestHead, carrier: Carrier) {
    this.head = head
    this.#carrier = carrier
    this.#isBodyRead = head.framing.kind === 'none'
  }

  /** Made when somebody asks: most requests end without a word about them. */
  get id(): string {
    this.#id ??= this.#carrier.newId()
    return this.#id
  }

  get connection(): Connection {
    return this.#carrier.facts
  }

  get client(): Conduit {
    return this.#carrier.conduit
  }

  get canHijack(): true {
    return true
  }

  get call(): undefined {
    return undefined
  }

  get takesPlainBody(): boolean {
    return this.head.minor === 0
  }

  invite(): void {
    if (this.head.expectsContinue && this.status === 0) this.client.say(CONTINUE)
  }

  bodyRead(): void {
    this.#isBodyRead = true
    this.#carrier.takeBack()
  }

  respond(head: ResponseHead, first: Buffer, from: Conduit): void {
    const framing: Framing =
      this.takesPlainBody && head.framing.kind === 'chunked' ? UNTIL_CLOSE : head.framing
    this.#closes =
      !this.head.keepAlive || framing.kind === 'until-close' || this.#carrier.isDraining
    this.status = head.status
    const text = writeResponseHead(this.head.method, head, framing, this.#closes)
    const { client } = this
    if (first.length === 0) return client.say(text)
    if (first.length <= SHORT_BODY_BYTES) return this.#sayWith(text, first)
    // not in one write: what is corked counts as not taken, and would cost a copy of its own
    client.say(text)
    client.forward(first, from)
  }

  #sayWith(text: string, first: Buffer): void {
    draft.begin(text)
    draft.addBytes(first)
    this.client.sayDraft(draft)
  }

  hijack(head: ResponseHead, first: Buffer): void {
    this.status = head.status
    this.#carrier.hijacked()
    const upgrade =
      head.upgrade === undefined ? '' : `Connection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n`
    this.client.say(
      `${statusLine(head.status)}${head.fields}${upgrade}\r\n${first.toString('latin1')}`,
    )
    this.#isOver = true
  }

  speakH2(): void {
    this.status = 101
    this.#isOver = true
    this.client.say(SWITCHING_TO_H2C)
    this.#carrier.becomeH2(undefined)
  }

  refuse(failure: Failure): void {
    if (this.#isOver || this.isGone) return
    this.#isOver = true
    const { head, client } = this
    // An HTTP error here would make buildx fall back, silently, to a privileged container of its own
    if (head.upgrade === 'h2c' && GRPC_PATH.test(head.target)) {
      this.status = 101
      client.say(SWITCHING_TO_H2C)
      this.#carrier.becomeH2(failure)
      return
    }
    this.status = failure.status
    this.#closes =
      !this.#isBodyRead || !head.keepAlive || CLOSES.has(failure.status) || this.#carrier.isDraining
    client.say(
      refusal(
        failure.status,
        head.method,
        this.#message(failure),
        this.#carrier.apiVersion,
        this.#closes,
      ),
    )
    if (this.#closes) return this.#carrier.finished(false)
    // who does not read what he is told is not listened to
    client.whenTaken(() => this.#carrier.finished(true))
  }

  #message(failure: Failure): string {
    return failure.code === 'NO_SUCH_ROUTE'
      ? failure.message
      : `berth: ${failure.message} (request ${this.id})`
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#carrier.finished(this.#isBodyRead && !this.#closes)
  }

  abort(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.client.reset()
  }

  /** The client is gone, or has given up waiting. */
  lost(): void {
    if (this.#isOver || this.isGone) return
    this.isGone = true
    this.follower?.clientGone()
  }
}

/** Refusals that end the connection: what a client spelt so oddly may have been meant for other ears (RFC 9112 2.2, 6.3, 11.2). */
const CLOSES: ReadonlySet<number> = new Set([400, 404, 408, 415, 417, 431, 501, 505])

/** A whole response of berth's own in the engine's form, `{"message": ...}`, which docker prints. */
export const refusal = (
  status: number,
  method: string,
  message: string,
  apiVersion: string,
  close: boolean,
): string => {
  const body = Buffer.from(`${JSON.stringify({ message })}\n`)
  const head =
    `${statusLine(status)}Api-Version: ${apiVersion}\r\nContent-Type: application/json\r\n` +
    `Docker-Experimental: false\r\nOstype: linux\r\nServer: berth\r\nContent-Length: ${body.length}\r\n` +
    (close ? 'Connection: close\r\n\r\n' : '\r\n')
  return method === 'HEAD' ? head : head + body.toString('latin1')
}
