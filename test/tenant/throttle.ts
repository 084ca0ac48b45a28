/** Wrong keys cost the address they come from, and nobody else. */

import fc from 'fast-check'
import { test } from 'tap'
import { createThrottle, payerOf } from '../../src/tenant/throttle.ts'

/** Tries `count` unknown keys at `now`; returns how many were let through to the store. */
const attempt = (
  throttle: ReturnType<typeof createThrottle>,
  address: string,
  now: number,
  count: number,
) => {
  let admitted = 0
  for (let i = 0; i < count; i += 1) {
    if (throttle.admits(address, now)) admitted += 1
  }
  return admitted
}

test('after twenty unknown keys within a second, more from that address are not looked up', async (t) => {
  const throttle = createThrottle()
  t.equal(attempt(throttle, '192.0.2.1', 0, 1000), 20)
  t.equal(attempt(throttle, '192.0.2.1', 999, 1000), 0)
  t.equal(attempt(throttle, '192.0.2.2', 999, 5), 5, 'a neighbour is not touched')
  t.equal(attempt(throttle, '192.0.2.1', 1000, 1000), 20, 'a second later it may try again')
})

test('an IPv6 address pays for its /64, and for IPv4 it makes no difference how it is written', async (t) => {
  t.equal(payerOf('2001:db8:1:2::1'), payerOf('2001:db8:1:2:ffff:ffff:ffff:ffff'))
  t.not(payerOf('2001:db8:1:2::1'), payerOf('2001:db8:1:3::1'))
  t.equal(payerOf('::ffff:192.0.2.1'), payerOf('192.0.2.1'))
  t.equal(payerOf(undefined), 'local')
  t.equal(payerOf('/run/x.sock'), 'local')
})

test('whatever addresses try whatever keys, none gets more than its share and memory stays bounded', async (t) => {
  const address = fc.integer({ min: 0, max: 5 }).map((n) => `192.0.2.${n}`)
  const tries = fc.array(fc.tuple(address, fc.nat(300)), { maxLength: 300 })
  const property = fc.property(tries, (tries) => {
    const throttle = createThrottle({ limit: 3, window: 1000 })
    const admitted = new Map<string, number[]>()
    let now = 0
    for (const [address, wait] of tries) {
      now += wait
      if (!throttle.admits(address, now)) continue
      admitted.set(address, [...(admitted.get(address) ?? []), now])
    }
    // windows lie side by side, so any stretch as long as one touches two of them at most
    return [...admitted.values()].every((times) =>
      times.every((time, i) => (times[i + 6] ?? Number.POSITIVE_INFINITY) - time >= 1000),
    )
  })
  t.doesNotThrow(() => fc.assert(property))
})

test('what is forgotten for want of room is who tried longest ago', async (t) => {
  const throttle = createThrottle({ limit: 1, capacity: 2 })
  for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.3']) throttle.admits(address, 0)
  t.equal(throttle.admits('192.0.2.2', 0), false)
  t.equal(throttle.admits('192.0.2.3', 0), false)
  t.equal(throttle.admits('192.0.2.1', 0), true)
})
