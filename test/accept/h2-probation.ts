/** How slowly addresses that have flooded are let in. */
import { test } from 'tap'
import { Probation } from '../../src/accept/h2-probation.ts'

const AT_ONCE = { inMs: 0, isServed: true }

const offender = (payer: string, now: number, offences = 11): Probation => {
  const probation = new Probation()
  for (let i = 0; i < offences; i++) probation.offended(payer, now)
  return probation
}

test('ten offences are forgiven, and none is held against others', async (t) => {
  const probation = offender('a', 0, 10)
  t.same(probation.turn('a', 1), AT_ONCE)
  probation.offended('a', 1)
  t.same(probation.turn('b', 1), AT_ONCE)
  t.not(probation.turn('a', 1).inMs, 0)
})

test('then connections have their turn one a second, and not too many wait', async (t) => {
  const probation = offender('a', 0)
  const turns = Array.from({ length: 10 }, () => probation.turn('a', 0).inMs)
  t.same(turns, [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000])
  t.same(probation.turn('a', 0), { inMs: 10_000, isServed: false })
  t.same(probation.turn('a', 0), { inMs: 10_000, isServed: false })
  t.same(probation.turn('a', 1000), { inMs: 10_000, isServed: true }, 'a place is free again')
})

test('a minute after the last offence all is forgotten', async (t) => {
  const probation = offender('a', 0)
  probation.offended('a', 30_000)
  t.same(probation.turn('a', 89_998), AT_ONCE, 'nobody has come for long')
  t.not(probation.turn('a', 89_999).inMs, 0)
  t.same(probation.turn('a', 90_000), AT_ONCE)
  t.same(probation.turn('a', 90_000), AT_ONCE)
})

test('many addresses push the oldest out', async (t) => {
  const probation = offender('a', 0)
  for (let i = 0; i < 10_000; i++) probation.offended(`other ${i}`, 0)
  t.same(probation.turn('a', 0), AT_ONCE)
})
