/** Quotas at the door: who has to wait, in a queue that is fair between tenants, and who has waited too long. */
import { Failure } from '../errors.ts'

/** What a tenant, or all tenants of an engine together, may have. Absent: as much as they like. */
export interface Allowance {
  /** Short requests under way: create, exec create, lists. */
  readonly inFlight?: number | undefined
  /** Long ones: builds and pulls. */
  readonly streams?: number | undefined
  /** New ones a second, of both kinds, with a burst of as many. */
  readonly perSecond?: number | undefined
}

export type Weight = 'inFlight' | 'streams'

export interface Entrance {
  readonly tenant: string
  readonly engine: string
  readonly weight: Weight
  readonly ofTenant: Allowance
  readonly ofEngine: Allowance
  /** How long the client will wait, in ms: docker does not retry a 429. */
  readonly patience: number
}

/** Leave to go on. Released once, when the request is over. */
export type Release = () => void

const SECOND = 1000

/** What one tenant or engine has under way. */
class Account {
  readonly running: Record<Weight, number> = { inFlight: 0, streams: 0 }
  #tokens: number | undefined
  #filledAt = 0

  /** Zero when one more may start now; otherwise ms until it could by rate, or Infinity until something ends. */
  wait(weight: Weight, allowance: Allowance, now: number): number {
    if (this.running[weight] >= (allowance[weight] ?? Number.POSITIVE_INFINITY))
      return Number.POSITIVE_INFINITY
    const { perSecond } = allowance
    if (perSecond === undefined) return 0
    this.#fill(perSecond, now)
    const tokens = this.#tokens as number
    return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) / perSecond) * SECOND)
  }

  start(weight: Weight): void {
    this.running[weight]++
    if (this.#tokens !== undefined) this.#tokens--
  }

  #fill(perSecond: number, now: number): void {
    const burst = Math.max(1, perSecond)
    const earned = ((now - this.#filledAt) / SECOND) * perSecond
    this.#tokens = this.#tokens === undefined ? burst : Math.min(burst, this.#tokens + earned)
    this.#filledAt = now
  }

  isIdle(now: number): boolean {
    return (
      this.running.inFlight === 0 && this.running.streams === 0 && now - this.#filledAt > SECOND
    )
  }
}

interface Waiter {
  readonly entrance: Entrance
  readonly resolve: (release: Release) => void
}

/** True where nobody ever waits: no need to ask the gate. */
export const isUnlimited = ({ inFlight, streams, perSecond }: Allowance): boolean =>
  inFlight === undefined && streams === undefined && perSecond === undefined

/** Accounts that are idle are forgotten when there are more than this. */
const MANY_ACCOUNTS = 10_000

/** A tenant's short requests do not wait behind the long ones. */
const queueOf = ({ tenant, weight }: Entrance): string => `${weight} ${tenant}`

export class Gate {
  readonly #now: () => number
  readonly #accounts = new Map<string, Account>()
  /** In the order in which they are served: whoever has been served goes to the end. */
  readonly #queues = new Map<string, Waiter[]>()
  #timer: NodeJS.Timeout | undefined

  /** @param now ms of a clock that does not go back */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Requests that wait. */
  get waiting(): number {
    let count = 0
    for (const queue of this.#queues.values()) count += queue.length
    return count
  }

  /** @throws Failure TOO_MANY_REQUESTS when the patience is over */
  enter(entrance: Entrance): Release | Promise<Release> {
    if (!this.#queues.has(queueOf(entrance)) && this.#wait(entrance) === 0)
      return this.#start(entrance)
    return this.#queue(entrance)
  }

  #queue(entrance: Entrance): Promise<Release> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#remove(waiter)
        const seconds = entrance.patience / SECOND
        reject(
          new Failure(
            'TOO_MANY_REQUESTS',
            `this one has waited ${seconds} s for its turn; try again later`,
          ),
        )
      }, entrance.patience)
      const waiter: Waiter = {
        entrance,
        resolve: (release) => {
          clearTimeout(timer)
          resolve(release)
        },
      }
      const queue = this.#queues.get(queueOf(entrance))
      if (queue === undefined) this.#queues.set(queueOf(entrance), [waiter])
      else queue.push(waiter)
      this.#serve()
    })
  }

  #remove(waiter: Waiter): void {
    const name = queueOf(waiter.entrance)
    const queue = this.#queues.get(name) ?? []
    queue.splice(queue.indexOf(waiter), 1)
    if (queue.length === 0) this.#queues.delete(name)
  }

  /** Lets in whoever may enter now: one a tenant and round. */
  #serve(): void {
    clearTimeout(this.#timer)
    let soonest = Number.POSITIVE_INFINITY
    for (let served = true; served; ) {
      served = false
      soonest = Number.POSITIVE_INFINITY
      for (const [name, queue] of [...this.#queues]) {
        const waiter = queue[0] as Waiter
        const wait = this.#wait(waiter.entrance)
        soonest = Math.min(soonest, wait)
        if (wait > 0) continue
        served = true
        queue.shift()
        this.#queues.delete(name)
        if (queue.length > 0) this.#queues.set(name, queue)
        waiter.resolve(this.#start(waiter.entrance))
      }
    }
    if (soonest !== Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#serve(), soonest)
  }

  #wait({ tenant, engine, weight, ofTenant, ofEngine }: Entrance): number {
    const now = this.#now()
    return Math.max(
      this.#account(`tenant ${tenant}`).wait(weight, ofTenant, now),
      this.#account(`engine ${engine}`).wait(weight, ofEngine, now),
    )
  }

  #start({ tenant, engine, weight }: Entrance): Release {
    const accounts = [this.#account(`tenant ${tenant}`), this.#account(`engine ${engine}`)]
    for (const account of accounts) account.start(weight)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      for (const account of accounts) account.running[weight]--
      if (this.#queues.size > 0) this.#serve()
    }
  }

  #account(name: string): Account {
    const known = this.#accounts.get(name)
    if (known !== undefined) return known
    if (this.#accounts.size >= MANY_ACCOUNTS) this.#forgetIdle()
    const account = new Account()
    this.#accounts.set(name, account)
    return account
  }

  #forgetIdle(): void {
    const now = this.#now()
    for (const [name, account] of this.#accounts)
      if (account.isIdle(now)) this.#accounts.delete(name)
  }
}
