/** What unknown keys cost: after a few from one address within a second, further ones are not even looked up. */

import ipaddr from 'ipaddr.js'

export interface ThrottleOptions {
  /** Unknown keys that one address may try in a window. */
  readonly limit?: number
  /** Length of the window in ms. */
  readonly window?: number
  /** Addresses that are remembered, those that tried last. */
  readonly capacity?: number
}

/** Only for keys that are not known to be good: those never pay, whatever their neighbours do. */
export interface Throttle {
  /**
   * Whether `address` may try another key now (ms, of any clock that does not go back). Every try counts when it
   * begins: of many at once, none has ended before the others are let through.
   */
  admits(address: string | undefined, now: number): boolean
}

interface Tally {
  readonly since: number
  count: number
}

const LIMIT = 20
const WINDOW = 1000
const CAPACITY = 10_000

/** Who pays: an IPv4 address; a /64 of IPv6, which is the least that anyone is given; all that have no address. */
export const payerOf = (address: string | undefined): string => {
  if (address === undefined || !ipaddr.isValid(address)) return 'local'
  const parsed = ipaddr.process(address)
  return parsed instanceof ipaddr.IPv6
    ? `${parsed.parts
        .slice(0, 4)
        .map((part) => part.toString(16))
        .join(':')}::/64`
    : parsed.toString()
}

export const createThrottle = ({
  limit = LIMIT,
  window = WINDOW,
  capacity = CAPACITY,
}: ThrottleOptions = {}): Throttle => {
  /** By payer, the one that tried longest ago first. */
  const tallies = new Map<string, Tally>()

  return {
    admits: (address, now) => {
      const payer = payerOf(address)
      const before = tallies.get(payer)
      const tally = before && now - before.since < window ? before : { since: now, count: 0 }
      if (tally.count >= limit) return false
      tally.count += 1
      tallies.delete(payer)
      tallies.set(payer, tally)
      if (tallies.size > capacity) {
        const [oldest = payer] = tallies.keys()
        tallies.delete(oldest)
      }
      return true
    },
  }
}
