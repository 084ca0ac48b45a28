/** One exchange with one engine: the request goes out, the response comes back, both at once where they overlap. */
import { Failure } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { Asker, UpstreamConnection } from '../upstream/h1.ts'
import type { Pool } from '../upstream/pool.ts'
import type { Framing, ResponseHead } from '../wire/head.ts'
import { NO_BODY } from '../wire/head.ts'
import { collect } from './collect.ts'
import type { Errand } from './errand.ts'
import { Pump, type PumpOwner } from './pump.ts'
import { upgradeFor, writeRequestHead } from './request-head.ts'
import { splice } from './splice.ts'

const EMPTY = Buffer.alloc(0)
/** How much of a body that nobody wants is read before its request is sent. */
const UNWANTED_BODY_CAP = 65536

/** RFC 9110 9.2.1: nothing happens when these are asked twice. */
const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD'

/**
 * Resolves when the response has been written to its end, or the client has gone.
 * @throws Failure when the engine fails; `exchange.status` tells whether a head has been sent already
 */
export const relay = async (exchange: Exchange, pool: Pool, errand: Errand): Promise<void> => {
  const upgrade = upgradeFor(errand.hijack, exchange.head)
  const { framing, body } = await prepareBody(exchange, errand)
  if (exchange.isGone) return
  const head = writeRequestHead(errand, exchange.head, framing, upgrade)
  const connection = pool.take() ?? (await pool.open())
  if (exchange.isGone) return pool.release(connection, true)
  return new Relay(exchange, pool, errand, head, body, framing).run(connection)
}

/** What the engine will be sent as a body: nothing, the client's stream, or what has been read and judged. */
const prepareBody = async (
  exchange: Exchange,
  errand: Errand,
): Promise<{ framing: Framing; body: Buffer }> => {
  const { plan } = errand
  const client = exchange.head.framing
  if (plan.kind === 'stream') return { framing: client, body: EMPTY }
  if (plan.kind === 'judge') {
    const body = plan.judge(await collect(exchange, plan.cap))
    return { framing: body.length === 0 ? NO_BODY : { kind: 'length', length: body.length }, body }
  }
  // A chunked body must prove well-formed before its request may count, and none may linger in a stream to come;
  // one of known length cannot be malformed, and is read meanwhile
  if (client.kind === 'chunked' || errand.hijack !== 'none')
    await collect(exchange, UNWANTED_BODY_CAP)
  else if (client.kind === 'length') collect(exchange, UNWANTED_BODY_CAP).catch(() => {})
  return { framing: NO_BODY, body: EMPTY }
}

class Relay implements Asker, PumpOwner {
  readonly #exchange: Exchange
  readonly #pool: Pool
  readonly #errand: Errand
  readonly #head: string
  readonly #body: Buffer
  readonly #framing: Framing
  #connection!: UpstreamConnection
  #isRetry = false
  #upload: Pump | undefined
  #isUploaded = true
  #response: ResponseHead | undefined
  #hasSurplus = false
  #isSettled = false
  #resolve!: () => void
  #reject!: (failure: Failure) => void

  constructor(
    exchange: Exchange,
    pool: Pool,
    errand: Errand,
    head: string,
    body: Buffer,
    framing: Framing,
  ) {
    this.#exchange = exchange
    this.#pool = pool
    this.#errand = errand
    this.#head = head
    this.#body = body
    this.#framing = framing
  }

  run(connection: UpstreamConnection): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#exchange.onGone = this.#abandon
      this.#ask(connection)
    })
  }

  #ask(connection: UpstreamConnection): void {
    this.#connection = connection
    const { conduit } = connection
    if (this.#body.length === 0) connection.ask(this.#head, this.#errand.method, this)
    else
      conduit.together(() => {
        connection.ask(this.#head, this.#errand.method, this)
        conduit.send(this.#body)
      })
    if (this.#errand.plan.kind === 'stream' && this.#framing.kind !== 'none') this.#startUpload()
  }

  #startUpload(): void {
    this.#isUploaded = false
    this.#upload = new Pump(
      this.#exchange.client,
      this.#connection.conduit,
      this.#framing,
      this,
      false,
    )
    this.#exchange.invite()
    this.#upload.start()
  }

  // === the engine's answer ===

  answered(head: ResponseHead, rest: Buffer): void {
    if (head.apiVersion !== undefined) this.#pool.learned.apiVersion = head.apiVersion
    this.#response = head
    if (head.status === 101) this.#tunnel(head, rest)
    else this.#respond(head, rest)
  }

  #respond(head: ResponseHead, rest: Buffer): void {
    const { conduit } = this.#connection
    const decode = this.#exchange.takesPlainBody
    const pump = new Pump(conduit, this.#exchange.client, head.framing, this, decode)
    if (decode && head.framing.kind === 'chunked') {
      conduit.hold()
      conduit.unread(rest)
      this.#exchange.respond(head, EMPTY, conduit)
      return pump.start()
    }
    const end = pump.count(rest)
    if (pump.isBroken) return this.#fail(new Failure('MALFORMED_RESPONSE', 'broken chunk framing'))
    this.#hasSurplus = end < rest.length
    this.#exchange.respond(head, end === rest.length ? rest : rest.subarray(0, end), conduit)
    if (pump.isDone) this.#exchange.client.whenTaken(() => this.#done(pump))
    else pump.start()
  }

  #tunnel(head: ResponseHead, rest: Buffer): void {
    const { hijack } = this.#errand
    // RFC 9110 7.8: a switch to what was not asked for is no switch
    if (hijack === 'none' || head.upgrade?.toLowerCase() !== hijack)
      return this.#fail(new Failure('MALFORMED_RESPONSE', 'it switched protocols unasked'))
    const asked = this.#exchange.head.upgrade !== undefined
    this.#exchange.onGone = undefined
    this.#exchange.hijack(asked ? head : { ...head, status: 200, upgrade: undefined }, rest)
    void splice(this.#exchange.client, this.#connection.conduit).then(() => {
      this.#pool.release(this.#connection, false)
      this.#settle()
    })
  }

  unanswered(failure: Failure, isUntouched: boolean): void {
    // A connection that had been used and died before the first byte was closing while the request was on its way
    const mayRetry =
      isUntouched &&
      this.#connection.uses > 1 &&
      !this.#isRetry &&
      isSafe(this.#errand.method) &&
      !this.#isSettled
    if (!mayRetry) return this.#fail(failure)
    this.#isRetry = true
    this.#pool.release(this.#connection, false)
    this.#pool.open().then(
      (connection) =>
        this.#isSettled ? this.#pool.release(connection, true) : this.#ask(connection),
      (error: Failure) => this.#settle(error),
    )
  }

  // === bodies ===

  pumped(pump: Pump): void {
    if (pump !== this.#upload) return this.#done(pump)
    this.#isUploaded = true
    this.#exchange.bodyRead()
  }

  pumpCut(pump: Pump, error: Error | undefined): void {
    if (pump === this.#upload) this.#abandon()
    else this.#fail(new Failure('ENGINE_GONE', 'in the middle of its answer', error))
  }

  pumpBroken(pump: Pump): void {
    if (pump === this.#upload) this.#fail(new Failure('MALFORMED_BODY', 'broken chunk framing'))
    else this.#fail(new Failure('MALFORMED_RESPONSE', 'broken chunk framing'))
  }

  /** The response is complete. Its connection may be used again if the request is too, and nothing came behind. */
  #done(pump: Pump): void {
    if (this.#isSettled) return
    const reusable =
      this.#response?.keepAlive === true &&
      this.#isUploaded &&
      !this.#hasSurplus &&
      !pump.source.hasUnread
    this.#pool.release(this.#connection, reusable)
    this.#settle()
    this.#exchange.end()
  }

  // === ends ===

  #fail(failure: Failure): void {
    if (this.#isSettled) return
    this.#pool.release(this.#connection, false)
    this.#settle(failure)
  }

  /** Nobody waits for the answer any more: the engine must see that at once, or it goes on for nothing. */
  readonly #abandon = (): void => {
    if (this.#isSettled) return
    this.#pool.release(this.#connection, false)
    this.#settle()
    this.#exchange.abort()
  }

  #settle(failure?: Failure): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#exchange.onGone = undefined
    if (failure === undefined) this.#resolve()
    else this.#reject(failure)
  }
}
