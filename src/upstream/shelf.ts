/** The arithmetic of a pool, without its sockets: which idle item to use next, and which to close. */

interface Placed<Item> {
  readonly item: Item
  readonly since: number
}

/**
 * Idle items, most recently used last: reusing the newest lets the others grow old and be closed.
 * Time is given by the caller, in milliseconds.
 */
export class Shelf<Item> {
  #idle: Placed<Item>[] = []
  readonly #room: number
  readonly #maxIdleMs: number

  constructor(room: number, maxIdleMs: number) {
    this.#room = room
    this.#maxIdleMs = maxIdleMs
  }

  get size(): number {
    return this.#idle.length
  }

  /** The item to use next, or undefined when a new one must be made. */
  take(): Item | undefined {
    return this.#idle.pop()?.item
  }

  /** Puts an item back; returns the one that has to be closed for it, if any. */
  put(item: Item, now: number): Item | undefined {
    if (this.#room === 0) return item
    this.#idle.push({ item, since: now })
    return this.#idle.length > this.#room ? this.#idle.shift()?.item : undefined
  }

  /** Forgets an item that has died by itself; true if it was idle. */
  remove(item: Item): boolean {
    const index = this.#idle.findIndex((placed) => placed.item === item)
    if (index !== -1) this.#idle.splice(index, 1)
    return index !== -1
  }

  /** Forgets and returns the items that have been idle too long. */
  expire(now: number): Item[] {
    const isOld = (placed: Placed<Item>): boolean => now - placed.since >= this.#maxIdleMs
    const old = this.#idle.filter(isOld)
    if (old.length > 0) this.#idle = this.#idle.filter((placed) => !isOld(placed))
    return old.map((placed) => placed.item)
  }

  /** Forgets and returns everything. */
  clear(): Item[] {
    const all = this.#idle.map((placed) => placed.item)
    this.#idle = []
    return all
  }
}
