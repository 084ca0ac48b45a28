/** A conduit as the stream that node:http2 speaks over, with a guard between them. */
import { Duplex } from 'node:stream'
import type { Conduit, Receiver } from '../transport/conduit.ts'
import type { H2Guard } from './h2-guard.ts'
import { linger } from './linger.ts'
import { PREFACE } from './sniff.ts'

type Done = (error?: Error | null) => void

export class H2Wire extends Duplex implements Receiver {
  readonly #conduit: Conduit
  readonly #guard: H2Guard
  readonly #onLimit: () => void
  /** Bytes of the preface that are still to come; it is no frame. */
  #preface = PREFACE.length
  #written: Done | undefined

  /** @param onLimit the guard has found a reason to look whether the connection has to end */
  constructor(conduit: Conduit, guard: H2Guard, onLimit: () => void) {
    super({ allowHalfOpen: true })
    this.#conduit = conduit
    this.#guard = guard
    this.#onLimit = onLimit
    conduit.receiver = this
  }

  received(bytes: Buffer, from: Conduit): void {
    if (this.#guard.abuse !== undefined) return
    const preface = Math.min(this.#preface, bytes.length)
    this.#preface -= preface
    this.#guard.received(bytes.subarray(preface), performance.now())
    this.#check()
    // what came together with abuse is not served either
    if (this.#guard.abuse !== undefined || this.destroyed) return
    // the bytes are lent, and a stream keeps what it is given
    if (!this.push(Buffer.from(bytes))) from.hold()
  }

  ended(): void {
    this.push(null)
  }

  gone(_: Conduit, error: Error | undefined): void {
    this.#written?.(error ?? null)
    this.destroy(error)
  }

  readonly #check = (): void => {
    const { abuse, hasDismissed } = this.#guard
    if ((abuse !== undefined || hasDismissed) && !this.destroyed) this.#onLimit()
  }

  override _read(): void {
    this.#conduit.flow()
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: Done): void {
    this.#send([bytes], done)
  }

  override _writev(pieces: { chunk: Buffer }[], done: Done): void {
    this.#send(
      pieces.map(({ chunk }) => chunk),
      done,
    )
  }

  #send(pieces: readonly Buffer[], done: Done): void {
    const conduit = this.#conduit
    if (conduit.isGone) return done()
    conduit.together(() => {
      for (const bytes of pieces) {
        this.#guard.sent(bytes, performance.now())
        conduit.send(bytes)
      }
    })
    this.#written = done
    conduit.whenTaken(() => {
      this.#written = undefined
      done()
    })
    // not from within a write, which nghttp2 has not finished with
    if (this.#guard.abuse !== undefined || this.#guard.hasDismissed) setImmediate(this.#check)
  }

  override _final(done: Done): void {
    this.#conduit.finish()
    done()
  }

  override _destroy(error: Error | null, done: Done): void {
    linger(this.#conduit)
    done(error)
  }
}
