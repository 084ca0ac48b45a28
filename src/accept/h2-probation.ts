/** Addresses that have flooded over HTTP/2 are let in slowly: being cut off stops nobody who comes back at once. */

/** How long one is remembered after its last offence. */
const MEMORY_MS = 60_000
/** Meanwhile a few offences are forgiven: a client that is broken is not one that means harm. */
const FORGIVEN = 10
/** After that its HTTP/2 connections are served one after the other, at this distance. */
const DISTANCE_MS = 1000
/** Clients such as buildx wait 20 s for a connection; whoever would have to wait longer than this is let go instead. */
const MOST_WAITING_MS = 10_000
/** Addresses that are remembered, those that offended last. */
const CAPACITY = 10_000

interface Offender {
  offences: number
  until: number
  /** When the next connection is due. */
  due: number
}

/** When a connection is to go on, in milliseconds from now: 0 for nearly all. It is closed then where it is not `served`. */
export interface Turn {
  readonly inMs: number
  readonly isServed: boolean
}

const AT_ONCE: Turn = { inMs: 0, isServed: true }
/** Closed now, it would only come back now. */
const NEVER: Turn = { inMs: MOST_WAITING_MS, isServed: false }

/**
 * What HAProxy's configurations do with a table of glitches by source (`sc_glitch_rate`); but nobody is turned away
 * who may be somebody else behind the same address. Times are milliseconds of one clock.
 */
export class Probation {
  /** By whoever pays for an address, the one that offended longest ago first. */
  readonly #offenders = new Map<string, Offender>()

  offended(payer: string, now: number): void {
    const offender = this.#find(payer, now) ?? { offences: 0, until: 0, due: now }
    offender.offences++
    offender.until = now + MEMORY_MS
    this.#offenders.delete(payer)
    this.#offenders.set(payer, offender)
    if (this.#offenders.size <= CAPACITY) return
    const [oldest = payer] = this.#offenders.keys()
    this.#offenders.delete(oldest)
  }

  /** Takes the next turn of an address. */
  turn(payer: string, now: number): Turn {
    const offender = this.#find(payer, now)
    if (offender === undefined || offender.offences <= FORGIVEN) return AT_ONCE
    const due = Math.max(now, offender.due + DISTANCE_MS)
    if (due - now > MOST_WAITING_MS) return NEVER
    offender.due = due
    return { inMs: due - now, isServed: true }
  }

  #find(payer: string, now: number): Offender | undefined {
    const offender = this.#offenders.get(payer)
    if (offender === undefined || now < offender.until) return offender
    this.#offenders.delete(payer)
    return undefined
  }
}
