/** Those who wait, by whom they belong to: owners have their turns one after the other, however much each of them has sent. */

export class FairQueue<Waiter> {
  /** In the order in which owners are served: whoever has been served goes to the end. */
  readonly #queues = new Map<string, Waiter[]>()

  get isEmpty(): boolean {
    return this.#queues.size === 0
  }

  /** How many of one owner's wait. */
  lengthOf(owner: string): number {
    return this.#queues.get(owner)?.length ?? 0
  }

  add(owner: string, waiter: Waiter): void {
    const queue = this.#queues.get(owner)
    if (queue === undefined) this.#queues.set(owner, [waiter])
    else queue.push(waiter)
  }

  remove(owner: string, waiter: Waiter): void {
    const queue = this.#queues.get(owner) ?? []
    const at = queue.indexOf(waiter)
    if (at !== -1) queue.splice(at, 1)
    if (queue.length === 0) this.#queues.delete(owner)
  }

  /** The first of each owner's, the owner who has waited longest before the others. */
  *heads(): Iterable<readonly [owner: string, first: Waiter]> {
    for (const [owner, [first]] of this.#queues) yield [owner, first as Waiter]
  }

  /** Takes the first of those that an owner has waiting. */
  take(owner: string): Waiter | undefined {
    const queue = this.#queues.get(owner)
    if (queue === undefined) return undefined
    const first = queue.shift()
    this.#queues.delete(owner)
    if (queue.length > 0) this.#queues.set(owner, queue)
    return first
  }

  /** Takes the first of whoever has waited longest. */
  next(): Waiter | undefined {
    for (const owner of this.#queues.keys()) return this.take(owner)
    return undefined
  }
}
