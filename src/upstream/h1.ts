/** One HTTP/1.1 connection to an engine: writes a request head, reads the response head, and knows whether it may be used again. */
import { asFailure, Failure } from '../errors.ts'
import { View } from '../transport/buffers.ts'
import type { Conduit, Receiver } from '../transport/conduit.ts'
import type { Draft } from '../transport/draft.ts'
import type { ResponseHead } from '../wire/head.ts'
import { parseResponseHead } from '../wire/parse-response.ts'
import { HeadReader, NEED_MORE } from '../wire/read-head.ts'
import { remember } from '../wire/remember.ts'
import { type Asker, type EngineConnection, MAX_INTERIM } from './connection.ts'
import { lossOf } from './reasons.ts'

const headOfAnswer = remember((text) => parseResponseHead(text, 'GET'))
const headOfAnswerToHead = remember((text) => parseResponseHead(text, 'HEAD'))
/** HEAD is the only method that makes a difference (RFC 9112 6.3). */
const responseHeadOf = (text: string, method: string): ResponseHead =>
  method === 'HEAD' ? headOfAnswerToHead(text) : headOfAnswer(text)

export class UpstreamConnection implements EngineConnection, Receiver {
  readonly isStream = false
  readonly conduit: Conduit
  /** How many requests it has carried. */
  uses = 0
  readonly #reader = new HeadReader()
  readonly #rest = new View()
  #asker: Asker | undefined
  #method = ''
  #interim = 0
  /** Called when an idle connection can no longer be used. */
  onUnusable: (() => void) | undefined

  constructor(conduit: Conduit) {
    this.conduit = conduit
    conduit.isHeardOut = true
    conduit.receiver = this
  }

  /** True while it waits in a pool and has said nothing of its own. */
  get isUsable(): boolean {
    const { isGone, hasEnded, hasFinished, socket } = this.conduit
    return !isGone && !hasEnded && !hasFinished && !socket.destroyed && this.#asker === undefined
  }

  ask(head: string | Draft, method: string, asker: Asker): void {
    this.uses++
    this.#asker = asker
    this.#method = method
    this.#interim = 0
    this.conduit.receiver = this
    if (typeof head === 'string') this.conduit.say(head)
    else this.conduit.sayDraft(head)
  }

  /** Its framing has said so. */
  bodySent(): void {}

  /** Takes the conduit back after a response that was read to its end. */
  rest(): void {
    this.conduit.receiver = this
  }

  received(bytes: Buffer): void {
    const asker = this.#asker
    // RFC 9112 9.2: bytes that nobody asked for make everything that follows suspect
    if (asker === undefined) return this.#drop()
    try {
      this.#read(bytes, asker)
    } catch (error) {
      this.#asker = undefined
      this.conduit.destroy()
      const failure = asFailure(error)
      asker.unanswered(
        failure.fault === 'client' ? new Failure('MALFORMED_RESPONSE', failure.message) : failure,
        'begun',
      )
    }
  }

  #read(bytes: Buffer, asker: Asker): void {
    let at = 0
    while (at < bytes.length) {
      const end = this.#reader.read(bytes, at, bytes.length)
      if (end === NEED_MORE) return
      const head = responseHeadOf(this.#reader.text, this.#method)
      at = end
      if (head.status >= 200 || head.status === 101) {
        this.#asker = undefined
        asker.answered(head, this.#rest.of(bytes, at, bytes.length))
        return
      }
      if (++this.#interim > MAX_INTERIM)
        throw new Failure('MALFORMED_RESPONSE', 'interim responses without end')
    }
  }

  ended(): void {
    if (this.#asker === undefined) this.#drop()
    else this.conduit.destroy()
  }

  gone(_: Conduit, error: Error | undefined): void {
    const asker = this.#asker
    this.#asker = undefined
    if (asker === undefined) return this.onUnusable?.()
    const isUntouched = !this.#reader.isMidway && this.#interim === 0
    asker.unanswered(lossOf(error), isUntouched ? 'untouched' : 'begun')
  }

  #drop(): void {
    this.conduit.destroy()
    this.onUnusable?.()
  }
}
