/** One HTTP/1 client connection: bytes become exchanges, one after the other. */
import { asFailure, Failure } from '../errors.ts'
import type { Connection, Exchange } from '../exchange.ts'
import type { Conduit, Receiver } from '../transport/conduit.ts'
import type { RequestHead } from '../wire/head.ts'
import { HeadMemory } from '../wire/head-memory.ts'
import { parseFound } from '../wire/parse-request.ts'
import { HeadReader, NEED_MORE } from '../wire/read-head.ts'
import { admit } from './admit.ts'
import { type Carrier, H1Exchange, refusal } from './h1-exchange.ts'
import { linger } from './linger.ts'
import { PREFACE, sniff } from './sniff.ts'

/** What a connection needs to know of the listeners it belongs to. */
export interface Harbour {
  readonly limits: Limits
  readonly allowedHosts: ReadonlySet<string>
  readonly apiVersion: string
  readonly isDraining: boolean
  /** Seconds since start, coarse: read often, so it costs nothing. */
  readonly now: number
  newId(): string
  serve(exchange: Exchange): void
  /** The first bytes, which are still to be delivered, are an HTTP/2 preface. */
  speaksH2(conduit: Conduit, facts: Connection): void
  /** An upgrade on /grpc has been accepted; with an objection, every call is answered with it. */
  carriesGrpc(conduit: Conduit, facts: Connection, objection: Failure | undefined): void
  refused(failure: Failure, facts: Connection, id: string): void
}

/** Times are seconds. None of them runs while an exchange is under way: a slow body or stream is never cut. */
export interface Limits {
  readonly connections: number
  /** From a head's first byte to its last. */
  readonly headSeconds: number
  /** Between two requests; docker clients give up an idle connection after 30 s, and do not retry a POST on a dead one. */
  readonly idleSeconds: number
}

/** A client's FIN after an ordinary request means that it has gone (Go cancels the handler): it gets this long to be wrong. */
const FAREWELL_MS = 500
/** So much of the requests behind one that is under way is read, as only who reads hears that a client has gone. */
const AHEAD_BYTES = 16384
const NOTHING = Buffer.alloc(0)
const MS = 1000

type State = 'fresh' | 'idle' | 'head' | 'busy' | 'closed'

export class H1Connection implements Receiver, Carrier {
  readonly facts: Connection
  readonly conduit: Conduit
  readonly #harbour: Harbour
  readonly #reader = new HeadReader()
  readonly #memory = new HeadMemory()
  #state: State = 'fresh'
  #since: number
  #exchange: H1Exchange | undefined
  #sniffed = ''
  /** What has come behind the request that is under way. */
  #ahead: Buffer = NOTHING
  #timer: NodeJS.Timeout | undefined
  readonly #objection: Failure | undefined

  /** @param objection what every request of this connection is answered with */
  constructor(conduit: Conduit, facts: Connection, harbour: Harbour, objection?: Failure) {
    this.#objection = objection
    this.conduit = conduit
    this.facts = facts
    this.#harbour = harbour
    this.#since = harbour.now
    conduit.receiver = this
  }

  get apiVersion(): string {
    return this.#harbour.apiVersion
  }

  get isDraining(): boolean {
    return this.#harbour.isDraining
  }

  /** True while an exchange, or what it became, is under way. */
  get isBusy(): boolean {
    return this.#state === 'busy'
  }

  // === bytes ===

  received(bytes: Buffer): void {
    switch (this.#state) {
      case 'busy':
        this.#readAhead(bytes)
        return
      case 'closed':
        return
      case 'fresh':
        this.#sniff(bytes)
        return
      default:
        this.#readHead(bytes)
    }
  }

  /** The next requests of a pipeline: they wait their turn, what is more than a little of them in the kernel. */
  #readAhead(bytes: Buffer): void {
    if (this.#ahead.length + bytes.length > AHEAD_BYTES) {
      this.conduit.hold()
      this.#waitUnheard()
    }
    if (this.#ahead.length === 0 && bytes.length > AHEAD_BYTES) this.conduit.unread(bytes)
    else this.#ahead = Buffer.concat([this.#ahead, bytes])
  }

  /** What was read ahead is delivered next, to whoever receives then. */
  #giveBack(): void {
    if (this.#ahead.length === 0) return
    this.conduit.hold()
    this.conduit.unread(this.#ahead)
    this.#ahead = NOTHING
  }

  /** Looks at the first bytes of the connection, and hands them to whoever speaks what they are. */
  #sniff(bytes: Buffer): void {
    const all =
      this.#sniffed === '' ? bytes : Buffer.concat([Buffer.from(this.#sniffed, 'latin1'), bytes])
    const spoken = sniff(all.toString('latin1', 0, PREFACE.length))
    if (spoken === 'h1') this.#readHead(all)
    else if (spoken === 'more') {
      if (this.#sniffed === '') this.#since = this.#harbour.now
      this.#sniffed = all.toString('latin1')
    } else if (spoken === 'neither')
      this.#refuse(new Failure('NOT_HTTP', 'a docker client with TLS needs a tls:// listener'))
    else {
      this.#state = 'closed'
      this.conduit.hold()
      this.conduit.unread(all)
      this.#harbour.speaksH2(this.conduit, this.facts)
    }
  }

  #readHead(bytes: Buffer): void {
    if (this.#state !== 'head') {
      this.#state = 'head'
      this.#since = this.#harbour.now
    }
    let head: RequestHead
    let end: number
    try {
      end = this.#reader.read(bytes, 0, bytes.length, this.#memory.front)
      if (end === NEED_MORE) return
      head = parseFound(this.#reader, this.#memory)
    } catch (error) {
      this.#refuse(asFailure(error))
      return
    }
    this.#begin(head, bytes, end)
  }

  #begin(head: RequestHead, bytes: Buffer, end: number): void {
    this.#state = 'busy'
    if (head.framing.kind !== 'none') {
      this.conduit.hold()
      this.conduit.unread(bytes.subarray(end))
    } else if (end < bytes.length) this.#readAhead(bytes.subarray(end))
    const exchange = new H1Exchange(head, this)
    this.#exchange = exchange
    try {
      if (this.#objection !== undefined) throw this.#objection
      admit(head, this.facts, this.#harbour.allowedHosts)
    } catch (error) {
      const failure = asFailure(error)
      this.#harbour.refused(failure, this.facts, exchange.id)
      exchange.refuse(failure)
      return
    }
    this.#harbour.serve(exchange)
  }

  // === the exchange's calls ===

  newId(): string {
    return this.#harbour.newId()
  }

  takeBack(): void {
    this.conduit.receiver = this
    if (this.conduit.hasEnded) this.ended()
    this.conduit.flow()
  }

  becomeH2(objection: Failure | undefined): void {
    this.hijacked()
    this.#exchange = undefined
    this.#state = 'closed'
    this.#harbour.carriesGrpc(this.conduit, this.facts, objection)
  }

  hijacked(): void {
    clearTimeout(this.#timer)
    this.#giveBack()
  }

  finished(reusable: boolean): void {
    this.#exchange = undefined
    clearTimeout(this.#timer)
    this.#giveBack()
    const { conduit } = this
    if (!reusable || this.isDraining || (conduit.hasEnded && !conduit.hasUnread)) {
      this.#leave()
      return
    }
    this.#state = 'idle'
    this.#since = this.#harbour.now
    conduit.receiver = this
    // a pipeline of requests that are refused at once would keep everybody else waiting
    if (conduit.hasUnread) setImmediate(this.#goOn)
    else conduit.flow()
  }

  readonly #goOn = (): void => {
    if (this.#state === 'idle' && !this.conduit.hasFinished) this.conduit.flow()
  }

  /** Serves nothing more, and closes so that what was answered arrives. */
  #leave(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    linger(this.conduit)
  }

  /** Who is not read is never heard to go: so he has a limit, unless he waits for a switch and all is of a stream to come. */
  #waitUnheard(): void {
    if (this.#exchange?.head.upgrade !== undefined) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#giveUp, this.#harbour.limits.idleSeconds * MS)
  }

  /** Answers bytes that are no request; nothing behind them is read as one. */
  #refuse(failure: Failure): void {
    const id = this.#harbour.newId()
    this.#harbour.refused(failure, this.facts, id)
    this.conduit.say(
      refusal(
        failure.status,
        'GET',
        `berth: ${failure.message} (request ${id})`,
        this.apiVersion,
        true,
      ),
    )
    this.#leave()
  }

  // === ends ===

  ended(): void {
    if (this.#state !== 'busy') {
      this.conduit.finish()
      return
    }
    // all of a stream to come: it waits for the engine to switch, however long that takes
    if (this.#ahead.length > 0 && this.#exchange?.head.upgrade !== undefined) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#giveUp, FAREWELL_MS)
  }

  readonly #giveUp = (): void => {
    this.#exchange?.lost()
    this.conduit.destroy()
  }

  gone(): void {
    this.#state = 'closed'
    clearTimeout(this.#timer)
    this.#exchange?.lost()
    this.#exchange = undefined
  }

  /** Called every second. */
  tick(now: number): void {
    const { limits } = this.#harbour
    const waited = now - this.#since
    const isMidway = this.#state === 'head' || (this.#state === 'fresh' && this.#sniffed !== '')
    if (isMidway && waited > limits.headSeconds) this.#refuse(new Failure('HEAD_TIMEOUT'))
    else if ((this.#state === 'idle' || this.#state === 'fresh') && waited > limits.idleSeconds)
      this.conduit.destroy()
  }

  /** No further request: an idle connection closes now, a busy one after its exchange. */
  drain(): void {
    // what was on its way already is thrown away: nobody could be told what became of it
    if (this.#state === 'idle' || this.#state === 'fresh') this.#leave()
  }
}
