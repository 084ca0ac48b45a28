/** The arithmetic of a pool, without its sockets: which idle item to use next, and which to close. */

/**
 * Idle items, most recently used last: reusing the newest lets the others grow old and be closed.
 * Time is given by the caller, in milliseconds.
 */
export class Shelf<Item> {
  #items: Item[] = []
  /** Since when each of them is idle, in a list of its own: objects that pair the two would be garbage with every use. */
  #since: number[] = []
  readonly #room: number
  readonly #maxIdleMs: number

  constructor(room: number, maxIdleMs: number) {
    this.#room = room
    this.#maxIdleMs = maxIdleMs
  }

  get size(): number {
    return this.#items.length
  }

  /** The item to use next, or undefined when a new one must be made. */
  take(): Item | undefined {
    this.#since.pop()
    return this.#items.pop()
  }

  /** Puts an item back; returns the one that has to be closed for it, if any. */
  put(item: Item, now: number): Item | undefined {
    if (this.#room === 0) return item
    this.#items.push(item)
    this.#since.push(now)
    if (this.#items.length <= this.#room) return undefined
    this.#since.shift()
    return this.#items.shift()
  }

  /** Forgets an item that has died by itself; true if it was idle. */
  remove(item: Item): boolean {
    const index = this.#items.indexOf(item)
    if (index === -1) return false
    this.#items.splice(index, 1)
    this.#since.splice(index, 1)
    return true
  }

  /** Forgets and returns the items that have been idle too long. */
  expire(now: number): Item[] {
    const isYoung = this.#since.map((since) => now - since < this.#maxIdleMs)
    const old = this.#items.filter((_, i) => !isYoung[i])
    if (old.length === 0) return old
    this.#items = this.#items.filter((_, i) => isYoung[i])
    this.#since = this.#since.filter((_, i) => isYoung[i])
    return old
  }

  /** Forgets and returns everything. */
  clear(): Item[] {
    this.#since = []
    return this.#items.splice(0)
  }
}
