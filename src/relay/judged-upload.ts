/** A request body on its way through a judge: held while it is short, streamed when it is long, its end held to the last. */
import { asFailure, Failure } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { Conduit, Receiver } from '../transport/conduit.ts'
import { type BodyTracker, trackBody } from '../wire/body.ts'
import type { Framing } from '../wire/head.ts'
import { COLLECT_SECONDS } from './collect.ts'
import type { BodyJudge, JudgePlan } from './errand.ts'
import { FREE_BYTES, ROOM, type Stay } from './room.ts'
import { type Judging, TURNS } from './turns.ts'

/** Up to here a judged body leaves whole, with its length; no docker client sends as much. */
const HELD_BYTES = 65536
const MS = 1000
/** Of a body that is judged at a stretch: 2 KiB of the most expensive JSON there is take about 1 ms. */
const SLICE_BYTES = 2048
const EMPTY = Buffer.alloc(0)
const LAST_CHUNK = '0\r\n\r\n'

export class JudgedUpload implements Receiver, Judging {
  readonly #exchange: Exchange
  readonly #plan: JudgePlan
  readonly #judge: BodyJudge
  readonly #tracker: BodyTracker
  /** What has come and waits for its turn to be judged; the client is held meanwhile. */
  #rest: Buffer = EMPTY
  #output: Uint8Array[] = []
  #held = 0
  #seen = 0
  #sink: Conduit | undefined
  /** Whether what is sent goes in chunks. */
  #isChunked = true
  #isOver = false
  /** The room it has, or waits for: none while it is short. */
  #stay: Stay | undefined
  #timer: NodeJS.Timeout | undefined
  #resolve!: (whole: Buffer | undefined) => void
  #reject!: (failure: Failure) => void

  constructor(exchange: Exchange, plan: JudgePlan) {
    this.#exchange = exchange
    this.#plan = plan
    this.#tracker = trackBody(exchange.head.framing, this.#onData)
    this.#judge = plan.begin(this.#onOutput)
  }

  /**
   * Reads the body.
   * @returns what to send in its place; undefined when it is longer than is held: then `streamTo` goes on
   * @throws Failure of the judge, BODY_TOO_LARGE, BODY_TIMEOUT or MALFORMED_BODY
   */
  read(): Promise<Buffer | undefined> {
    const { framing } = this.#exchange.head
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      if (framing.kind === 'none') return void this.#complete()
      if (framing.kind === 'length' && framing.length > this.#plan.cap)
        return this.#fail(this.#tooLarge())
      this.#exchange.client.receiver = this
      if (framing.kind === 'length' && framing.length > FREE_BYTES)
        this.#makeRoom(framing.length, () => this.#begin())
      else this.#begin()
    })
  }

  /** To be left when the exchange is over; until then its body may be held. */
  get stay(): Stay | undefined {
    return this.#stay
  }

  /** To be called when the exchange is over, which may be before the body is. */
  drop(): void {
    this.#over()
    this.#stay?.leave()
  }

  #begin(): void {
    this.#startTimer()
    this.#exchange.invite()
    this.#exchange.client.flow()
  }

  /** What has come of it waits for its turn here: its sender is not to blame then. */
  #startTimer(): void {
    this.#timer = setTimeout(() => {
      if (this.#rest.length > 0) this.#startTimer()
      else this.#fail(new Failure('BODY_TIMEOUT'))
    }, COLLECT_SECONDS * MS)
  }

  /** @param then once there is room for so many bytes; until then the client is held, and not timed */
  #makeRoom(bytes: number, then: () => void): void {
    try {
      this.#stay = ROOM.enter(this.#plan.owner, bytes)
    } catch (error) {
      return this.#fail(asFailure(error))
    }
    if (this.#stay.isIn) return then()
    clearTimeout(this.#timer)
    this.#exchange.client.hold()
    this.#stay.wait(
      () => {
        if (!this.#isOver) then()
      },
      (failure) => this.#fail(failure),
    )
  }

  /**
   * Sends what is held and what still comes. Resolves when the last of it has gone.
   * @param framing as chunks, or plain where the end is said otherwise
   */
  streamTo(sink: Conduit, framing: Framing): Promise<void> {
    this.#sink = sink
    this.#isChunked = framing.kind === 'chunked'
    return new Promise((resolve, reject) => {
      this.#resolve = () => resolve()
      this.#reject = reject
      this.#pass(sink)
    })
  }

  readonly #onData = (bytes: Buffer, from: number, to: number): void => {
    this.#seen += to - from
    if (this.#seen > this.#plan.cap) throw this.#tooLarge()
    this.#judge.write(bytes.subarray(from, to))
  }

  readonly #onOutput = (bytes: Uint8Array): void => {
    this.#output.push(bytes)
    this.#held += bytes.length
  }

  received(bytes: Buffer, from: Conduit): void {
    const until = TURNS.begin()
    let end = 0
    if (until > 0) {
      end = this.#judgeSome(bytes, until)
      TURNS.end()
    }
    if (this.#isOver) return
    if (end < bytes.length) {
      from.hold()
      // what came is lent for this turn only
      this.#rest = Buffer.from(bytes.subarray(end))
    }
    this.#proceed()
  }

  /** Judges until then, or to the end of the body. @returns how far it came */
  #judgeSome(bytes: Buffer, until: number): number {
    let at = 0
    try {
      do {
        at = this.#tracker.take(bytes, at, Math.min(at + SLICE_BYTES, bytes.length))
        if (this.#tracker.isBroken) throw new Failure('MALFORMED_BODY', 'broken chunk framing')
      } while (at < bytes.length && !this.#tracker.isDone && performance.now() < until)
    } catch (error) {
      this.#fail(asFailure(error))
    }
    return at
  }

  /** What comes after a stretch of judging. */
  #proceed(): void {
    const { client } = this.#exchange
    if (this.#tracker.isDone) {
      client.hold()
      client.unread(this.#rest)
      void this.#complete()
    } else if (this.#sink !== undefined) this.#pass(this.#sink)
    else if (this.#plan.mayStream && this.#held > HELD_BYTES) {
      client.hold()
      this.#resolve(undefined)
    } else if (this.#stay === undefined && this.#seen > FREE_BYTES) {
      // it did not say how long it is
      this.#makeRoom(this.#plan.cap, () => this.#resume())
    } else this.#goOn()
  }

  #resume(): void {
    clearTimeout(this.#timer)
    this.#startTimer()
    this.#goOn()
  }

  /** Judges on what waits, when it is its turn; else reads on. */
  readonly #goOn = (): void => {
    if (this.#rest.length === 0) this.#exchange.client.flow()
    else TURNS.wait(this.#plan.owner, this)
  }

  judgeOn(until: number): void {
    if (this.#isOver) return
    const bytes = this.#rest
    this.#rest = bytes.subarray(this.#judgeSome(bytes, until))
    if (!this.#isOver) this.#proceed()
  }

  async #complete(): Promise<void> {
    this.#over()
    // before it is settled, which may take a while: so a client that goes meanwhile is seen to go
    this.#exchange.bodyRead()
    try {
      await this.#judge.settle()
      this.#judge.finish()
    } catch (error) {
      this.#stay?.leave()
      return this.#reject(asFailure(error))
    }
    // what is left of it may be short, and otherwise stays until the engine has answered
    if (this.#held <= FREE_BYTES) this.#stay?.leave()
    const sink = this.#sink
    if (sink === undefined) return this.#resolve(this.#take())
    this.#flush(sink)
    if (this.#isChunked) sink.say(LAST_CHUNK)
    this.#resolve(undefined)
  }

  /** Sends what is held, and makes the client wait while the engine is slow. */
  #pass(sink: Conduit): void {
    this.#flush(sink)
    this.#exchange.client.hold()
    sink.whenTaken(this.#goOn)
  }

  /** Sends what is held, as one chunk. */
  #flush(sink: Conduit): void {
    const bytes = this.#take()
    if (bytes.length === 0) return
    if (!this.#isChunked) return sink.send(bytes)
    sink.together(() => {
      sink.say(`${bytes.length.toString(16)}\r\n`)
      sink.send(bytes)
      sink.say('\r\n')
    })
  }

  #take(): Buffer {
    const bytes = Buffer.concat(this.#output)
    this.#output = []
    this.#held = 0
    return bytes
  }

  ended(): void {
    // out of HTTP/2, where a body need not say how long it is
    if (this.#exchange.head.framing.kind === 'until-close' && !this.#isOver)
      return void this.#complete()
    this.#fail(new Failure('MALFORMED_BODY', 'it ended too early'))
  }

  gone(): void {
    this.#fail(new Failure('MALFORMED_BODY', 'the client has gone'))
  }

  #fail(failure: Failure): void {
    if (this.#isOver) return
    this.#over()
    this.#stay?.leave()
    this.#exchange.client.hold()
    this.#reject(failure)
  }

  #over(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }

  #tooLarge(): Failure {
    return new Failure('BODY_TOO_LARGE', `at most ${this.#plan.cap} bytes here`)
  }
}
