/**
 * Turns the JSON body that a client sends into the one that the engine gets: each key looked up in its table,
 * judged, and written anew. Only the value being judged is held; the last brace leaves with `finish`.
 */
import { asFailure, Failure } from '../errors.ts'
import { complete } from './complete.ts'
import {
  type At,
  type Events,
  element,
  entry,
  type Findings,
  type Hearing,
  isLimiting,
  member,
  openHearing,
  verdictOf,
} from './hearing.ts'
import { fold, type Json, serialise, shorten } from './json.ts'
import { judge } from './judge.ts'
import { Output } from './output.ts'
import type { Policy } from './policy.ts'
import { type Handler, malformed, Reader } from './reader.ts'
import { fits, isInt64, type Kind, SHOULD_BE } from './shape.ts'
import type { Body, Row, Shape, Struct, Verdict } from './table.ts'

/** Characters of values held for judgement; the longest that is ever honest, a seccomp profile, has 20,000. */
const MAX_HELD = 512 * 1024
/** What one more value costs beside its text. */
const NODE = 16
/** Of a list that is judged as a whole, in one go: other requests wait meanwhile. */
const MAX_ELEMENTS = 4096

type Mode = 'emit' | 'hold' | 'skip'
/** The value that comes next: what it must be, and what becomes of it. */
interface Slot {
  readonly mode: Mode
  /** Undefined where nothing is known of it. */
  readonly shape: Shape | undefined
  /** The row that judges it once it is whole, or that completes it as it streams. */
  readonly row: Row | undefined
  /** Its key, not yet written. */
  readonly lead: string
}

const SKIP: Slot = { mode: 'skip', shape: undefined, row: undefined, lead: '' }
const NOWHERE: At = { path: '', rule: '' }

/** An object or a list that is still open. */
interface Frame {
  readonly slot: Slot
  readonly at: At
  readonly isList: boolean
  /** What it holds so far, where it is held. */
  readonly members: Json[] | Map<string, Json> | undefined
  /** The member at hand. */
  name: string
  index: number
  /** Has a member been written? Then the next takes a comma. */
  comma: boolean
  /** Names that the table does not know, folded. */
  strangers: Set<string> | undefined
  /** Values that wait for the end of the object, where their rows complete them. */
  waiting: Map<string, Json> | undefined
  /** Members that have streamed, and so were completed already. */
  streamed: Set<string> | undefined
}

/** A value that is shown to the listener by its beginning. */
interface Sampled {
  readonly at: At
  readonly verdict: Verdict
  /** Of its key. */
  readonly depth: number
}

export interface TransformEvents extends Events {
  /** Called with bytes that the engine may see, in order. */
  readonly onOutput: (bytes: Uint8Array) => void
}

/** One body on its way. Feed it by `write`, then `settle`, then `finish`; after a failure it is of no more use. */
export interface Transform {
  /**
   * The next bytes of the client's body.
   * @throws Failure POLICY_DENIED, MALFORMED_BODY or BODY_TOO_LARGE
   */
  write(bytes: Uint8Array): void
  /**
   * To be called when all bytes are in: from here on only what the caller makes of the findings can refuse it.
   * @throws Failure MALFORMED_BODY where the body is not complete
   */
  settle(): Findings
  /** Settles, and lets the last brace go. */
  finish(): Findings
}

export const createTransform = (policy: Policy, body: Body, events: TransformEvents): Transform =>
  new Rewriter(policy, body, events)

class Rewriter implements Handler, Transform {
  readonly #hearing: Hearing
  readonly #body: Body
  readonly #reader = new Reader(this)
  readonly #output: Output
  readonly #stack: Frame[] = []
  #slot: Slot
  #string = ''
  /** Characters held: of all values that wait, and before the one at hand. */
  #held = 0
  #heldBefore = 0
  /** What refused it: from then on nothing else comes out of it. */
  #failure: Failure | undefined
  #isEmpty = true
  #isSettled = false
  /** The value that streams just now and that the listener will hear of, and the depth of its key. */
  #sampled: Sampled | undefined

  constructor(policy: Policy, body: Body, events: TransformEvents) {
    this.#hearing = openHearing(policy, events)
    this.#body = body
    this.#output = new Output(events.onOutput)
    this.#slot = { mode: 'emit', shape: body.shape, row: undefined, lead: '' }
  }

  write(bytes: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure
    if (bytes.length > 0) this.#isEmpty = false
    try {
      this.#reader.write(bytes)
    } catch (error) {
      this.#failure = asFailure(error)
      throw this.#failure
    }
  }

  settle(): Findings {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#isSettled) return this.#hearing.findings
    if (this.#isEmpty && this.#body.optional) {
      this.startObject()
      this.endObject()
    } else {
      this.#reader.end()
    }
    this.#isSettled = true
    return this.#hearing.findings
  }

  finish(): Findings {
    const findings = this.settle()
    this.#output.write('}')
    this.#output.flush()
    return findings
  }

  // === what the reader sees ===

  startObject(): void {
    const slot = this.#next('object')
    this.#lead(slot, '{')
    this.#push(slot, false, slot.mode === 'hold' ? new Map() : undefined)
  }

  startArray(): void {
    const slot = this.#next('list')
    this.#lead(slot, '[')
    this.#push(slot, true, slot.mode === 'hold' ? [] : undefined)
  }

  endObject(): void {
    const frame = this.#pop()
    if (frame.slot.mode === 'emit') {
      this.#completeMembers(frame)
      if (this.#stack.length > 0) this.#output.write('}')
    }
    this.#ended(frame.slot, frame.members)
  }

  endArray(): void {
    const frame = this.#pop()
    if (frame.slot.mode === 'emit') this.#output.write(']')
    this.#ended(frame.slot, frame.members)
  }

  name(name: string, quoted: string): void {
    const frame = this.#top()
    const { mode, shape } = frame.slot
    frame.name = name
    if (mode === 'skip') this.#slot = SKIP
    else if (shape?.is === 'struct') this.#slot = this.#field(frame, shape, name, `${quoted}:`)
    else if (shape?.is === 'map') this.#slot = this.#entry(frame, shape.of, name, `${quoted}:`)
  }

  startString(): void {
    this.#slot = this.#next('string')
    this.#string = ''
    this.#lead(this.#slot, '"')
  }

  stringPiece(piece: string): void {
    const { mode } = this.#slot
    if (mode === 'emit') this.#output.write(JSON.stringify(piece).slice(1, -1))
    if (mode !== 'hold') return
    this.#string += piece
    this.#hold(piece.length)
  }

  endString(): void {
    if (this.#slot.mode === 'emit') this.#output.write('"')
    this.#ended(this.#slot, this.#string)
  }

  number(text: string): void {
    const slot = this.#next('int')
    if (slot.mode !== 'skip' && !isInt64(text)) {
      throw malformed(`${this.#here().path} = ${text} is not a 64-bit integer`)
    }
    this.#lead(slot, text)
    this.#ended(slot, { text })
  }

  literal(value: boolean | null): void {
    const slot = this.#next(value === null ? 'null' : 'bool')
    // What is completed as it streams is, where it is null, completed by its parent: as if it had not been sent.
    const isAsIfAbsent = value === null && slot.mode === 'emit' && slot.row !== undefined
    if (!isAsIfAbsent) this.#lead(slot, String(value))
    this.#ended(slot, value)
  }

  // === where the next value goes ===

  /** A key of an object that a table describes. */
  #field(frame: Frame, shape: Struct, name: string, lead: string): Slot {
    const row = shape.rows.get(name)
    if (row === undefined) return this.#stranger(frame, shape, name)
    if (frame.slot.mode === 'hold') return { mode: 'hold', shape: row.shape, row: undefined, lead }
    const at = member(frame.at, name)
    const verdict = verdictOf(row, at.rule, this.#hearing)
    if (verdict === 'drop') {
      this.#report(at, row.why)
      return SKIP
    }
    if (row.opens) return { mode: 'emit', shape: row.shape, row, lead }
    if (row.keep !== undefined || (verdict === 'allow' && row.names === undefined)) {
      this.#sample(at, verdict)
      return { mode: 'emit', shape: row.shape, row: row.keep && row, lead }
    }
    this.#heldBefore = this.#held
    return { mode: 'hold', shape: row.shape, row, lead }
  }

  /** A key that no table knows: left out, unless it could pass for one that a table knows. */
  #stranger(frame: Frame, shape: Struct, name: string): Slot {
    const folded = fold(name)
    const canonical = shape.spelling.get(folded)
    const at = member(frame.at, shorten(name))
    if (canonical !== undefined) {
      throw malformed(`the key ${JSON.stringify(at.path)} has to be spelled ${canonical}`)
    }
    frame.strangers ??= new Set()
    if (frame.strangers.has(folded)) {
      throw malformed(`the key ${JSON.stringify(at.path)} is there twice, in two spellings`)
    }
    frame.strangers.add(folded)
    this.#report(at, 'this key is not known here')
    return SKIP
  }

  /** A key of a map, which its sender chose. */
  #entry(frame: Frame, of: Shape, name: string, lead: string): Slot {
    const { mode, row } = frame.slot
    if (mode === 'emit' && row?.keep !== undefined && !row.keep(name, this.#hearing)) {
      this.#report(entry(frame.at, name), row.why)
      return SKIP
    }
    return { mode, shape: of, row: undefined, lead }
  }

  /** The slot of the value that begins now, which has to be of a kind that fits. */
  #next(kind: Kind): Slot {
    const frame = this.#stack.at(-1)
    if (frame === undefined && kind !== 'object') throw malformed('it is not an object')
    if (frame?.isList) {
      frame.index++
      const { mode, shape } = frame.slot
      this.#slot =
        mode === 'skip' || shape?.is !== 'list'
          ? SKIP
          : { mode, shape: shape.of, row: undefined, lead: '' }
    }
    const { shape } = this.#slot
    if (shape !== undefined && !fits(shape, kind)) {
      throw malformed(`${this.#here().path} has to be ${SHOULD_BE[shape.is]}`)
    }
    return this.#slot
  }

  /** Where the value at hand stands. */
  #here(): At {
    const frame = this.#stack.at(-1)
    if (frame === undefined) return { path: this.#body.prefix, rule: this.#body.prefix }
    if (frame.isList) return element(frame.at, frame.index)
    return frame.slot.shape?.is === 'map'
      ? entry(frame.at, frame.name)
      : member(frame.at, frame.name)
  }

  #push(slot: Slot, isList: boolean, members: Frame['members']): void {
    if (slot.mode === 'hold') this.#hold(NODE)
    const parent = this.#stack.at(-1)
    if (slot.mode === 'emit' && slot.row !== undefined && parent !== undefined) {
      parent.streamed ??= new Set()
      parent.streamed.add(parent.name)
    }
    this.#stack.push({
      slot,
      at: slot.mode === 'skip' ? NOWHERE : this.#here(),
      isList,
      members,
      name: '',
      index: -1,
      comma: false,
      strangers: undefined,
      waiting: undefined,
      streamed: undefined,
    })
  }

  #pop(): Frame {
    const frame = this.#top()
    this.#stack.pop()
    return frame
  }

  #top(): Frame {
    const frame = this.#stack.at(-1)
    if (frame === undefined) throw malformed('it is not an object')
    return frame
  }

  // === what becomes of a value ===

  /** A value has ended; `value` counts where it was held. */
  #ended(slot: Slot, value: Json | undefined): void {
    if (this.#sampled?.depth === this.#stack.length) this.#reportSample(this.#sampled)
    if (slot.mode !== 'hold' || value === undefined) return
    this.#hold(NODE)
    const parent = this.#top()
    if (slot.row !== undefined) this.#judge(parent, slot.row, slot.lead, value)
    else if (Array.isArray(parent.members)) this.#element(parent.members, value)
    else parent.members?.set(parent.name, value)
  }

  #element(list: Json[], value: Json): void {
    if (list.push(value) > MAX_ELEMENTS)
      throw new Failure(
        'BODY_TOO_LARGE',
        `${this.#here().path} is one more than the ${MAX_ELEMENTS} that berth reads of such a list`,
      )
  }

  #judge(parent: Frame, row: Row, lead: string, value: Json): void {
    const at = this.#here()
    const sent = judge(row, value, at, this.#hearing)
    if (row.force !== undefined && isLimiting(verdictOf(row, at.rule, this.#hearing))) {
      parent.waiting ??= new Map()
      if (sent !== undefined) parent.waiting.set(parent.name, sent)
      return
    }
    this.#held = this.#heldBefore
    if (sent !== undefined) this.#member(parent, lead, serialise(sent))
  }

  #completeMembers(frame: Frame): void {
    const { shape, row } = frame.slot
    const added =
      shape?.is === 'struct'
        ? complete(shape, frame.at, this.#hearing, frame.waiting, frame.streamed)
        : row?.add?.(this.#hearing)
    for (const [name, value] of added ?? []) {
      this.#member(frame, `${JSON.stringify(name)}:`, serialise(value))
    }
  }

  #hold(cost: number): void {
    this.#held += cost
    if (this.#held > MAX_HELD) {
      throw new Failure('BODY_TOO_LARGE', `${this.#here().path} is longer than berth reads`)
    }
  }

  // === output ===

  /** The comma, key and opening of a value that streams. */
  #lead(slot: Slot, opening: string): void {
    if (slot.mode !== 'emit') return
    const parent = this.#stack.at(-1)
    const comma = parent?.comma ? ',' : ''
    if (parent !== undefined) parent.comma = true
    this.#output.write(comma + slot.lead)
    if (this.#sampled?.depth === this.#stack.length && slot.lead !== '') this.#output.beginSample()
    this.#output.write(opening)
  }

  #member(frame: Frame, lead: string, value: string): void {
    this.#output.write(`${frame.comma ? ',' : ''}${lead}${value}`)
    frame.comma = true
  }

  // === for the listener ===

  /** A key that is never sent. */
  #report(at: At, why: string | undefined): void {
    this.#hearing.onDecision?.({
      path: at.path,
      verdict: 'drop',
      refused: false,
      value: undefined,
      sent: undefined,
      why,
    })
  }

  /** The value that follows streams: the listener gets its beginning. */
  #sample(at: At, verdict: Verdict): void {
    if (this.#hearing.onDecision === undefined) return
    this.#sampled ??= { at, verdict, depth: this.#stack.length }
  }

  #reportSample({ at, verdict }: Sampled): void {
    const value = this.#output.endSample()
    this.#sampled = undefined
    this.#hearing.onDecision?.({
      path: at.path,
      verdict,
      refused: false,
      value,
      sent: value,
      why: undefined,
    })
  }
}
