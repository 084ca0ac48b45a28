/** Room for what is held whole until it is judged: so much in a process, less for one tenant; the others wait before they are read. */
import { Failure } from '../errors.ts'
import { FairQueue } from './fair-queue.ts'

/** Up to here nobody needs room: creates of docker and Solves of buildx have 4 KiB, as a rule. */
export const FREE_BYTES = 16 << 10

export interface Limits {
  readonly bytes: number
  /** Of one owner. Whatever is larger than a limit has it to itself. */
  readonly bytesOfOwner: number
  /** How many of one owner's may wait: each costs what was read before it was known to be long, and what its windows let in. */
  readonly waitingOfOwner: number
  readonly patienceMs: number
}

/** Room for one request, or its place in the queue. */
export class Stay {
  readonly owner: string
  readonly bytes: number
  /** Whether there is room for it, and was from the start where this is true at once. */
  isIn = false
  readonly #room: Room
  #isOver = false
  #then: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(room: Room, owner: string, bytes: number) {
    this.#room = room
    this.owner = owner
    this.bytes = bytes
  }

  /**
   * For one that is not in.
   * @param then called when there is room, in a turn of the event loop of its own
   * @param refused called when the patience is over
   */
  wait(then: () => void, refused: (failure: Failure) => void): void {
    const { patienceMs } = this.#room.limits
    this.#then = then
    this.#timer = setTimeout(() => {
      this.leave()
      refused(tooMany(`its long body has waited ${patienceMs / 1000} s for others to be read`))
    }, patienceMs)
  }

  /** To be called by the room. */
  enter(): void {
    this.isIn = true
    clearTimeout(this.#timer)
    if (this.#then !== undefined) setImmediate(this.#then)
  }

  /** Gives the room back, or the wait up. */
  leave(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#room.left(this)
  }
}

export class Room {
  readonly limits: Limits
  readonly #queue = new FairQueue<Stay>()
  readonly #usedBy = new Map<string, number>()
  #used = 0

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** Bytes that somebody has room for. */
  get used(): number {
    return this.#used
  }

  /**
   * @param bytes all that may come of the request, so that what is in can always be read to its end
   * @throws Failure TOO_MANY_REQUESTS where as many of the owner's wait as may
   */
  enter(owner: string, bytes: number): Stay {
    if (this.#queue.lengthOf(owner) >= this.limits.waitingOfOwner)
      throw tooMany('as many long bodies wait to be read as may')
    const stay = new Stay(this, owner, bytes)
    this.#queue.add(owner, stay)
    this.#serve()
    return stay
  }

  /** To be called by a stay. */
  left(stay: Stay): void {
    const { owner, bytes } = stay
    if (!stay.isIn) this.#queue.remove(owner, stay)
    else this.#take(owner, -bytes)
    this.#serve()
  }

  #serve(): void {
    for (let owner = this.#next(); owner !== undefined; owner = this.#next()) {
      const stay = this.#queue.take(owner) as Stay
      this.#take(owner, stay.bytes)
      stay.enter()
    }
  }

  /** Who is to be let in. Nobody overtakes one who only waits for the process to have room, or small ones would keep him out. */
  #next(): string | undefined {
    const { bytes, bytesOfOwner } = this.limits
    for (const [owner, stay] of this.#queue.heads())
      if (fits(this.#usedBy.get(owner) ?? 0, stay.bytes, bytesOfOwner))
        return fits(this.#used, stay.bytes, bytes) ? owner : undefined
    return undefined
  }

  #take(owner: string, bytes: number): void {
    this.#used += bytes
    const used = (this.#usedBy.get(owner) ?? 0) + bytes
    if (used === 0) this.#usedBy.delete(owner)
    else this.#usedBy.set(owner, used)
  }
}

const fits = (used: number, bytes: number, limit: number): boolean =>
  used === 0 || used + bytes <= limit

const tooMany = (what: string): Failure =>
  new Failure('TOO_MANY_REQUESTS', `${what}; try again later`)

/** Of this process. One tenant's is what engines take of a single Solve, or four of the longest JSON bodies. */
export const ROOM = new Room({
  bytes: 64 << 20,
  bytesOfOwner: 16 << 20,
  waitingOfOwner: 64,
  patienceMs: 30_000,
})
