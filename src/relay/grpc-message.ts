/** gRPC's framing of messages: writes one, and reads the one of a unary call before anything of it goes on. */
import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2'
import { asFailure, Failure } from '../errors.ts'
import type { Call } from '../exchange.ts'
import { FREE_BYTES, ROOM, type Stay } from './room.ts'

/** Compressed-Flag and Message-Length (gRPC over HTTP/2 spec, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5
/** A message as it goes on the wire, uncompressed. */
export const prefixed = (message: Uint8Array): Buffer => {
  const whole = Buffer.alloc(PREFIX_BYTES + message.length)
  whole.writeUInt32BE(message.length, 1)
  whole.set(message, PREFIX_BYTES)
  return whole
}

/** What engines take. */
const MAX_MESSAGE_BYTES = 16 << 20
const SECONDS = 30
const MS = 1000
const EMPTY = Buffer.alloc(0)

/** A message that is held until it is on its way. */
export class HeldMessage {
  #bytes: Buffer | undefined
  readonly #stay: Stay | undefined

  /** @param stay the room that it takes */
  constructor(bytes: Buffer, stay: Stay | undefined) {
    this.#bytes = bytes
    this.#stay = stay
  }

  sendTo(stream: ClientHttp2Stream): void {
    stream.write(this.#bytes, () => this.drop())
    this.#bytes = undefined
  }

  /** To be called at the end at the latest. */
  drop(): void {
    this.#bytes = undefined
    this.#stay?.leave()
  }
}

/**
 * @param owner among whose messages the room for long ones is shared
 * @param judge throws to refuse the message
 * @returns the message with its prefix; the stream has ended
 * @throws Failure BODY_TOO_LARGE, BODY_TIMEOUT, MALFORMED_BODY, TOO_MANY_REQUESTS, or what `judge` throws
 */
export const readMessage = async (
  { stream }: Call,
  owner: string,
  judge: (message: Buffer) => void,
): Promise<HeldMessage> => {
  const reading = new Reading(stream, owner)
  try {
    const whole = await reading.read()
    judge(whole.subarray(PREFIX_BYTES))
    return new HeldMessage(whole, reading.stay)
  } catch (error) {
    reading.stay?.leave()
    // what still comes of it is thrown away, or its stream would never be over
    stream.resume()
    throw error
  }
}

/** One message as it comes. A long one is not read on before there is room for it: its stream's window stays shut. */
class Reading {
  stay: Stay | undefined
  readonly #stream: ServerHttp2Stream
  readonly #owner: string
  /** What came before its length was known, or there was room. */
  #first = EMPTY
  #whole: Buffer | undefined
  #size = 0
  #timer: NodeJS.Timeout | undefined
  #resolve!: (whole: Buffer) => void
  #reject!: (failure: Failure) => void

  constructor(stream: ServerHttp2Stream, owner: string) {
    this.#stream = stream
    this.#owner = owner
  }

  async read(): Promise<Buffer> {
    try {
      return await new Promise((resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
        this.#startTimer()
        this.#stream.on('data', this.#onData).once('end', this.#onEnd).once('close', this.#onClose)
      })
    } finally {
      clearTimeout(this.#timer)
      this.#stream.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
    }
  }

  #startTimer(): void {
    this.#timer = setTimeout(() => this.#reject(new Failure('BODY_TIMEOUT')), SECONDS * MS)
  }

  readonly #onData = (bytes: Buffer): void => {
    try {
      if (this.#whole !== undefined) return this.#add(this.#whole, bytes)
      this.#first = Buffer.concat([this.#first, bytes])
      if (this.#first.length >= PREFIX_BYTES) this.#begin(lengthIn(this.#first))
    } catch (error) {
      this.#reject(asFailure(error))
    }
  }

  #begin(length: number): void {
    if (length <= FREE_BYTES) return this.#makeWhole(length)
    this.stay = ROOM.enter(this.#owner, length)
    if (this.stay.isIn) return this.#makeWhole(length)
    clearTimeout(this.#timer)
    this.#stream.pause()
    const goOn = (): void => {
      if (this.#stream.destroyed) return
      this.#startTimer()
      this.#makeWhole(length)
      this.#stream.resume()
    }
    this.stay.wait(goOn, this.#reject)
  }

  #makeWhole(length: number): void {
    const first = this.#first
    this.#first = EMPTY
    this.#whole = Buffer.allocUnsafeSlow(PREFIX_BYTES + length)
    this.#add(this.#whole, first)
  }

  #add(whole: Buffer, bytes: Buffer): void {
    if (this.#size + bytes.length > whole.length) throw notOne()
    whole.set(bytes, this.#size)
    this.#size += bytes.length
  }

  readonly #onEnd = (): void => {
    const whole = this.#whole
    if (whole === undefined || this.#size < whole.length) this.#reject(notOne())
    else this.#resolve(whole)
  }

  readonly #onClose = (): void => this.#reject(new Failure('MALFORMED_BODY', 'the client has gone'))
}

/** @throws Failure where a message that begins so is not read */
const lengthIn = (first: Buffer): number => {
  if (first[0] !== 0) throw new Failure('MALFORMED_BODY', 'compressed build requests are not read')
  const length = first.readUInt32BE(1)
  if (length > MAX_MESSAGE_BYTES)
    throw new Failure('BODY_TOO_LARGE', `at most ${MAX_MESSAGE_BYTES} bytes here`)
  return length
}

const notOne = (): Failure => new Failure('MALFORMED_BODY', 'it is not one gRPC message')
