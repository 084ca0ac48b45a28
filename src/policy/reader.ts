/**
 * Strict JSON, byte by byte if need be: refuses all that Go's decoder and a proxy's could read differently.
 * Memory is bounded whatever is sent: strings leave in pieces, and names and numbers have a limit.
 */
import { jsonParser, type Token, type TokenSource } from 'stream-json/core/parser.js'
import { Failure } from '../errors.ts'

/** More than any client nests: a create body has six levels. */
const MAX_DEPTH = 32
const MAX_MEMBERS = 10_000
const MAX_NAME = 4096
/** Characters of names held at once, to find duplicates. */
const MAX_NAMES = 1 << 20
/** A 64-bit integer has 20 characters; other numbers are only ever dropped. */
const MAX_NUMBER = 64
/** The parser makes a token for each few bytes: this much at a time keeps them few. */
const PIECE = 16 * 1024

const LONE_SURROGATE = /\p{Surrogate}/u

/** What the reader calls, in document order. Strings come in pieces that never split a character. */
export interface Handler {
  startObject(): void
  endObject(): void
  startArray(): void
  endArray(): void
  /** @param quoted the name as berth writes it. */
  name(name: string, quoted: string): void
  startString(): void
  stringPiece(piece: string): void
  endString(): void
  number(text: string): void
  literal(value: boolean | null): void
}

export const malformed = (detail: string, cause?: unknown): Failure =>
  new Failure('MALFORMED_BODY', detail, cause)

/** Feeds one JSON document to a handler; what the handler throws comes out of `write`. */
export class Reader {
  readonly #handler: Handler
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  readonly #parse = jsonParser({ packValues: false })
  /** The names of each open object; undefined for an array. */
  readonly #open: (Set<string> | undefined)[] = []
  #namesHeld = 0
  #inName = false
  #held = ''
  #began = false

  constructor(handler: Handler) {
    this.#handler = handler
  }

  /** @throws Failure MALFORMED_BODY */
  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += PIECE)
      this.#tokens(this.#decode(bytes.subarray(at, at + PIECE)))
  }

  /** @throws Failure MALFORMED_BODY where the document is not complete. */
  end(): void {
    this.#decode(undefined)
    if (!this.#began) throw malformed('it is empty')
    if (this.#open.length > 0) throw malformed('it ends early')
  }

  #decode(bytes: Uint8Array | undefined): string {
    try {
      return bytes === undefined
        ? this.#decoder.decode()
        : this.#decoder.decode(bytes, { stream: true })
    } catch (cause) {
      throw malformed('it is not UTF-8', cause)
    }
  }

  #tokens(text: string): void {
    let tokens: ReturnType<TokenSource>
    try {
      tokens = this.#parse(text)
    } catch (cause) {
      throw malformed('it is not JSON', cause)
    }
    if (typeof tokens === 'symbol') return
    for (const token of tokens.values) this.#token(token)
  }

  #token(token: Token): void {
    const handler = this.#handler
    switch (token.name) {
      case 'startKey':
        this.#inName = true
        this.#held = ''
        break
      case 'stringChunk':
        this.#piece(token.value)
        break
      case 'endKey':
        this.#inName = false
        this.#name(this.#held)
        break
      case 'startString':
        handler.startString()
        break
      case 'endString':
        handler.endString()
        break
      case 'startNumber':
        this.#held = ''
        break
      case 'numberChunk':
        this.#hold(token.value, MAX_NUMBER, 'a number')
        break
      case 'endNumber':
        handler.number(this.#held)
        break
      case 'startObject':
        this.#enter(new Set())
        handler.startObject()
        break
      case 'startArray':
        this.#enter(undefined)
        handler.startArray()
        break
      case 'endObject':
        this.#leave()
        handler.endObject()
        break
      case 'endArray':
        this.#leave()
        handler.endArray()
        break
      case 'trueValue':
      case 'falseValue':
      case 'nullValue':
        handler.literal(token.value)
    }
  }

  #enter(names: Set<string> | undefined): void {
    if (!this.#began && names === undefined) throw malformed('it is not an object')
    this.#began = true
    if (this.#open.length === MAX_DEPTH) throw malformed(`it nests deeper than ${MAX_DEPTH} levels`)
    this.#open.push(names)
  }

  #leave(): void {
    for (const name of this.#open.pop() ?? []) this.#namesHeld -= name.length
  }

  #piece(piece: string): void {
    if (LONE_SURROGATE.test(piece)) throw malformed('it has half a surrogate pair')
    if (piece.includes('\0')) throw malformed('it has a NUL in a string')
    if (this.#inName) this.#hold(piece, MAX_NAME, 'a name')
    else this.#handler.stringPiece(piece)
  }

  #hold(piece: string, limit: number, what: string): void {
    this.#held += piece
    if (this.#held.length > limit)
      throw malformed(`it has ${what} of more than ${limit} characters`)
  }

  #name(name: string): void {
    const names = this.#open.at(-1)
    // A string of its own: a slice would keep the whole piece of the body alive that it was cut from.
    const quoted = JSON.stringify(name)
    if (names?.has(quoted)) throw malformed(`the key ${quoted} is there twice`)
    names?.add(quoted)
    this.#namesHeld += quoted.length
    if ((names?.size ?? 0) > MAX_MEMBERS)
      throw malformed(`an object has more than ${MAX_MEMBERS} members`)
    if (this.#namesHeld > MAX_NAMES) throw malformed('its names are too long to remember')
    this.#handler.name(name, quoted)
  }
}
