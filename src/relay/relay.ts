/** One exchange with one engine: the request goes out, the response comes back, both at once where they overlap. */
import { asFailure, Failure } from '../errors.ts'
import type { Exchange, Follower } from '../exchange.ts'
import { Draft, SHORT_BODY_BYTES } from '../transport/draft.ts'
import { collectAnswer } from '../upstream/answer.ts'
import { type Asker, type Loss, mayAskAgain } from '../upstream/connection.ts'
import type { Connection, Pool } from '../upstream/pool.ts'
import { endOfWhole, trackBody } from '../wire/body.ts'
import type { Framing, ResponseHead } from '../wire/head.ts'
import { CHUNKED, NO_BODY, UNTIL_CLOSE } from '../wire/head.ts'
import { collect } from './collect.ts'
import type { Errand, Hijack, JudgePlan, Watch } from './errand.ts'
import { JudgedUpload } from './judged-upload.ts'
import { type Coding, codingFrom, Pump, type PumpOwner } from './pump.ts'
import { refuseUndecodable, upgradeFor, writeRequestHead } from './request-head.ts'
import type { Stay } from './room.ts'
import { splice } from './splice.ts'

const EMPTY = Buffer.alloc(0)
/** How much of a body that nobody wants is read before its request is sent. */
const UNWANTED_BODY_CAP = 65536
/** No answer that is amended comes near. */
const AMENDED_ANSWER_CAP = 1 << 20

/** Who wants to know how a relayed exchange ended. */
export interface Sender {
  /**
   * The response has been written to its end, or the client has gone; or the engine has failed, and `exchange.status`
   * tells whether a head had been sent already. Called once.
   */
  over(failure?: Failure): void
}

/**
 * Carries out an errand. What need not be waited for is not.
 * @throws Failure where nothing has begun; `sender` is told nothing then
 */
export const relay = (exchange: Exchange, pool: Pool, errand: Errand, sender: Sender): void => {
  if (exchange.isGone) return sender.over()
  const preparing = prepareBody(exchange, errand)
  if (!(preparing instanceof Promise)) send(exchange, pool, errand, preparing, sender)
  else sendLater(exchange, pool, errand, preparing, sender)
}

/** The same, for those who wait. */
export const relayed = (exchange: Exchange, pool: Pool, errand: Errand): Promise<void> =>
  new Promise((resolve, reject) => {
    const over = (failure?: Failure) => (failure === undefined ? resolve() : reject(failure))
    relay(exchange, pool, errand, { over })
  })

/** A function of its own: a closure in `relay` would cost every request that need not wait. */
const sendLater = (
  exchange: Exchange,
  pool: Pool,
  errand: Errand,
  preparing: Promise<Upload>,
  sender: Sender,
): void => {
  preparing
    .then((upload) => {
      const told = senderOf(upload, sender)
      try {
        send(exchange, pool, errand, upload, told)
      } catch (error) {
        told.over(asFailure(error))
      }
    })
    .catch((error) => sender.over(asFailure(error)))
}

/** Whoever holds a long body has room for it, until the end; nobody waits for what is left of one then. */
const senderOf = (upload: Upload, sender: Sender): Sender => {
  const giveUp = givingUp(upload)
  if (giveUp === undefined) return sender
  return {
    over: (failure) => {
      giveUp()
      sender.over(failure)
    },
  }
}

const givingUp = (upload: Upload): (() => void) | undefined => {
  if (upload.kind === 'judged') return () => upload.upload.drop()
  const stay = upload.kind === 'whole' ? upload.stay : undefined
  return stay && (() => stay.leave())
}

const send = (
  exchange: Exchange,
  pool: Pool,
  planned: Errand,
  upload: Upload,
  sender: Sender,
): void => {
  if (exchange.isGone) return sender.over()
  const errand = isDetached(planned, upload) ? { ...planned, hijack: NO_HIJACK } : planned
  if (errand.hijack !== 'none' && !exchange.canHijack)
    throw unhijackable(errand.hijack, errand.target)
  const upgrade = upgradeFor(errand.hijack, exchange.head)
  refuseUndecodable(exchange.head, errand)
  new Relay(exchange, pool, errand, upgrade, upload, sender).start()
}

/** The head of whatever is asked next: written anew for each connection that is asked. */
const draft = new Draft()

/** What the engine is sent as a body, and who brings it. */
type Upload =
  | { readonly kind: 'none'; readonly framing: Framing }
  | {
      readonly kind: 'whole'
      readonly framing: Framing
      readonly body: Buffer
      readonly stay: Stay | undefined
    }
  | { readonly kind: 'client'; readonly framing: Framing }
  | { readonly kind: 'judged'; readonly framing: Framing; readonly upload: JudgedUpload }

const NOTHING: Upload = { kind: 'none', framing: NO_BODY }
const NO_HIJACK: Hijack = 'none'

/** An exec that is started without its streams takes no connection over: a request like any other, also in HTTP/2. */
const isDetached = ({ hijack }: Errand, upload: Upload): boolean =>
  hijack === 'tcp' && upload.kind === 'whole' && JSON.parse(upload.body.toString()).Detach === true

const prepareBody = (exchange: Exchange, { plan }: Errand): Upload | Promise<Upload> => {
  const { framing } = exchange.head
  if (plan.kind === 'judge') return judgeBody(exchange, plan)
  if (framing.kind === 'none') return NOTHING
  // out of HTTP/2, where a body need not say how long it is
  if (plan.kind === 'stream')
    return { kind: 'client', framing: framing.kind === 'until-close' ? CHUNKED : framing }
  // What nobody wants is read before its request counts: it must prove well-formed, and none may linger in a stream to come
  return collect(exchange, UNWANTED_BODY_CAP).then(() => NOTHING)
}

const judgeBody = async (exchange: Exchange, plan: JudgePlan): Promise<Upload> => {
  const upload = new JudgedUpload(exchange, plan)
  const body = await upload.read()
  if (body === undefined) return { kind: 'judged', framing: CHUNKED, upload }
  const { stay } = upload
  return body.length === 0
    ? NOTHING
    : { kind: 'whole', framing: { kind: 'length', length: body.length }, body, stay }
}

/** What engines answer over HTTP/2, where no connection can be taken over: 400, and 500 on /grpc. */
const unhijackable = (hijack: Hijack, target: string): Failure =>
  new Failure(hijack === 'h2c' && GRPC_TARGET.test(target) ? 'NO_UPGRADE' : 'HIJACK_OVER_HTTP2')
const GRPC_TARGET = /\/grpc$/

/** Chunks that somebody reads are taken apart on the way, and put together again where the client takes chunks. */
const codingOf = (hasChunks: boolean, takesChunks: boolean, watch: Watch | undefined): Coding => {
  if (hasChunks === takesChunks && watch === undefined) return 'as it is'
  return takesChunks ? 'encode' : 'decode'
}

/** How a body ends on its way to the engine: a stream says its end itself. */
const framingOn = (connection: Connection, framing: Framing): Framing =>
  connection.isStream ? UNTIL_CLOSE : framing

class Relay implements Asker, PumpOwner, Follower {
  readonly #exchange: Exchange
  readonly #pool: Pool
  readonly #errand: Errand
  readonly #upgrade: string | undefined
  readonly #upload: Upload
  #connection!: Connection
  /** False while a retry is between two connections. */
  #holdsConnection = false
  #isRetry = false
  #pump: Pump | undefined
  #isUploaded = true
  #response: ResponseHead | undefined
  #hasSurplus = false
  #isSettled = false
  readonly #sender: Sender

  constructor(
    exchange: Exchange,
    pool: Pool,
    errand: Errand,
    upgrade: string | undefined,
    upload: Upload,
    sender: Sender,
  ) {
    this.#exchange = exchange
    this.#pool = pool
    this.#errand = errand
    this.#upgrade = upgrade
    this.#upload = upload
    this.#sender = sender
  }

  start(): void {
    const idle = this.#pool.take()
    if (idle !== undefined) this.#run(idle)
    else this.#runWhenReached()
  }

  #run(connection: Connection): void {
    this.#exchange.follower = this
    this.#ask(connection)
  }

  #runWhenReached(): void {
    this.#reach((connection) => {
      if (!this.#exchange.isGone) return this.#run(connection)
      this.#pool.release(connection, true)
      this.#settle()
    })
  }

  #reach(then: (connection: Connection) => void): void {
    // a connection that can stop being HTTP is never shared
    const reached =
      this.#errand.hijack === 'none' ? this.#pool.begin(this.#drawUp().text) : this.#pool.open()
    reached.then(then).catch((error) => this.#fail(asFailure(error)))
  }

  #ask(connection: Connection): void {
    this.#connection = connection
    this.#holdsConnection = true
    const upload = this.#upload
    if (upload.kind === 'whole') this.#askWhole(connection, upload.body)
    else connection.ask(this.#drawUp(), this.#errand.method, this)
    if (upload.kind === 'client') this.#pumpUp(upload.framing)
    else if (upload.kind === 'judged') this.#sendJudged(upload.upload)
  }

  #drawUp(): Draft {
    const { head } = this.#exchange
    const { framing } = this.#upload
    writeRequestHead(draft, this.#errand, head, framing, this.#upgrade, this.#pool.host)
    return draft
  }

  #askWhole(connection: Connection, body: Buffer): void {
    const { method } = this.#errand
    const head = this.#drawUp()
    if (!connection.isStream && body.length <= SHORT_BODY_BYTES) {
      head.addBytes(body)
      connection.ask(head, method, this)
    } else
      connection.conduit.together(() => {
        connection.ask(head, method, this)
        connection.conduit.send(body)
      })
    connection.bodySent()
  }

  #pumpUp(framing: Framing): void {
    this.#isUploaded = false
    const { client, head } = this.#exchange
    const coding = codingFrom(head.framing, framingOn(this.#connection, framing))
    this.#pump = new Pump(client, this.#connection.conduit, head.framing, this, coding)
    this.#exchange.invite()
    this.#pump.start()
  }

  #sendJudged(upload: JudgedUpload): void {
    this.#isUploaded = false
    const connection = this.#connection
    upload.streamTo(connection.conduit, framingOn(connection, CHUNKED)).then(
      () => {
        this.#isUploaded = true
        connection.bodySent()
      },
      // what has been sent lacks its end: nothing comes of it, once the connection is gone
      (failure: Failure) => this.#fail(failure),
    )
  }

  // === the engine's answer ===

  answered(head: ResponseHead, rest: Buffer): void {
    if (head.apiVersion !== undefined) this.#pool.learned.apiVersion = head.apiVersion
    this.#response = head
    if (head.status === 101) this.#tunnel(head, rest)
    else this.#respond(head, rest)
  }

  #respond(head: ResponseHead, rest: Buffer): void {
    const { conduit, isStream } = this.#connection
    const amend = this.#errand.amend?.(head.status)
    if (amend !== undefined) return void this.#amend(head, rest, amend)
    const isChunked = head.framing.kind === 'chunked'
    // a body that ends with its stream: the client is told of the end by chunks, or by a stream of its own
    const isOpen = isStream && head.framing.kind === 'until-close'
    const watch = isChunked || isOpen ? this.#errand.watch?.(head.status) : undefined
    const coding =
      isChunked || isOpen ? codingOf(isChunked, !this.#exchange.takesPlainBody, watch) : 'as it is'
    const told = isOpen ? { ...head, framing: CHUNKED } : head
    if (coding !== 'as it is') {
      conduit.hold()
      conduit.unread(rest)
      this.#exchange.respond(told, EMPTY, conduit)
      return new Pump(conduit, this.#exchange.client, head.framing, this, coding, watch).start()
    }
    const end = endOfWhole(head.framing, rest)
    if (end === undefined) return this.#respondInPart(head.framing, told, rest)
    // the usual answer came whole, with its head: nobody has to wait for more of it
    this.#respondWith(told, rest, end)
    this.#doneWhenTaken()
  }

  /** @param framing of the body as it comes from the engine */
  #respondInPart(framing: Framing, head: ResponseHead, rest: Buffer): void {
    const tracker = trackBody(framing)
    const end = tracker.take(rest, 0, rest.length)
    if (tracker.isBroken)
      return this.#fail(new Failure('MALFORMED_RESPONSE', 'broken chunk framing'))
    this.#respondWith(head, rest, end)
    if (tracker.isDone) return this.#doneWhenTaken()
    const { conduit } = this.#connection
    const { client } = this.#exchange
    new Pump(conduit, client, framing, this, 'as it is', undefined, tracker).start()
  }

  /** @param end of the response in what came with its head */
  #respondWith(head: ResponseHead, rest: Buffer, end: number): void {
    this.#hasSurplus = end < rest.length
    const first = end === rest.length ? rest : rest.subarray(0, end)
    this.#exchange.respond(head, first, this.#connection.conduit)
  }

  async #amend(
    head: ResponseHead,
    rest: Buffer,
    amend: (body: Buffer) => Buffer | Promise<Buffer>,
  ): Promise<void> {
    const { conduit } = this.#connection
    try {
      const body = await amend(await collectAnswer(conduit, head.framing, rest, AMENDED_ANSWER_CAP))
      if (this.#isSettled) return
      this.#exchange.respond(
        { ...head, framing: { kind: 'length', length: body.length } },
        body,
        conduit,
      )
    } catch (error) {
      return this.#fail(asFailure(error))
    }
    this.#doneWhenTaken()
  }

  #tunnel(head: ResponseHead, rest: Buffer): void {
    const { hijack } = this.#errand
    // RFC 9110 7.8: a switch to what was not asked for is no switch
    if (hijack === 'none' || head.upgrade?.toLowerCase() !== hijack)
      return this.#fail(new Failure('MALFORMED_RESPONSE', 'it switched protocols unasked'))
    const asked = this.#exchange.head.upgrade !== undefined
    this.#exchange.follower = undefined
    this.#exchange.hijack(asked ? head : { ...head, status: 200, upgrade: undefined }, rest)
    void splice(this.#exchange.client, this.#connection.conduit).then(() => {
      this.#letGo(false)
      this.#settle()
    })
  }

  unanswered(failure: Failure, loss: Loss): void {
    if (this.#isRetry || this.#isSettled || !this.#mayAskAgain(loss)) return this.#fail(failure)
    this.#isRetry = true
    this.#letGo(false)
    this.#reach((connection) =>
      this.#isSettled ? this.#pool.release(connection, true) : this.#ask(connection),
    )
  }

  #mayAskAgain(loss: Loss): boolean {
    const { kind } = this.#upload
    const isWhole = kind === 'none' || kind === 'whole'
    return mayAskAgain(this.#connection, this.#errand.method, loss, isWhole)
  }

  // === bodies ===

  pumped(pump: Pump): void {
    if (pump !== this.#pump) return this.#done()
    this.#isUploaded = true
    this.#connection.bodySent()
    this.#exchange.bodyRead()
  }

  pumpCut(pump: Pump, error: Error | undefined): void {
    if (pump === this.#pump) this.clientGone()
    else this.#fail(new Failure('ENGINE_GONE', 'in the middle of its answer', error))
  }

  pumpBroken(pump: Pump): void {
    if (pump === this.#pump) this.#fail(new Failure('MALFORMED_BODY', 'broken chunk framing'))
    else this.#fail(new Failure('MALFORMED_RESPONSE', 'broken chunk framing'))
  }

  pumpFailed(_: Pump, failure: Failure): void {
    this.#fail(failure)
  }

  /** Go closes a connection on a body that its handler did not read, without saying so: the next POST would be lost on it. */
  #wasRefusedMidway(): boolean {
    const { isStream } = this.#connection
    return !isStream && this.#upload.kind !== 'none' && (this.#response?.status ?? 0) >= 400
  }

  #doneWhenTaken(): void {
    const { client } = this.#exchange
    if (client.isTaken) this.#done()
    else client.whenTaken(this.#done.bind(this))
  }

  /** The response is complete. Its connection may be used again if the request is too, and nothing came behind. */
  #done(): void {
    if (this.#isSettled) return
    const reusable =
      this.#response?.keepAlive === true &&
      this.#isUploaded &&
      !this.#hasSurplus &&
      !this.#connection.conduit.hasUnread &&
      !this.#wasRefusedMidway()
    this.#letGo(reusable)
    this.#settle()
    this.#exchange.end()
  }

  // === ends ===

  /** Gives the connection back to its pool, once. */
  #letGo(reusable: boolean): void {
    if (!this.#holdsConnection) return
    this.#holdsConnection = false
    this.#pool.release(this.#connection, reusable)
  }

  #fail(failure: Failure): void {
    if (this.#isSettled) return
    this.#letGo(false)
    this.#settle(failure)
  }

  /** Nobody waits for the answer any more: the engine must see that at once, or it goes on for nothing. */
  clientGone(): void {
    if (this.#isSettled) return
    this.#letGo(false)
    this.#settle()
    this.#exchange.abort()
  }

  #settle(failure?: Failure): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#exchange.follower = undefined
    this.#sender.over(failure)
  }
}
