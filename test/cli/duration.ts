/** Spans of time on a command line. */
import { test } from 'tap'
import { parseDuration, printTime } from '../../src/cli/duration.ts'

test('durations are a whole number and a unit', async (t) => {
  t.equal(parseDuration('45s'), 45_000)
  t.equal(parseDuration('30m'), 1_800_000)
  t.equal(parseDuration('12h'), 43_200_000)
  t.equal(parseDuration('90d'), 7_776_000_000)
  t.equal(parseDuration('2w'), 1_209_600_000)
  t.equal(parseDuration('0s'), 0)
})

test('nothing else is a duration', async (t) => {
  for (const text of ['', '1', 'd', '1.5h', '-1h', '1h30m', ' 1h', '1H', '1y', '9999999999s'])
    t.equal(parseDuration(text), undefined, JSON.stringify(text))
})

test('times are printed to the second, in UTC', async (t) => {
  t.equal(printTime(1_700_000_000_999), '2023-11-14T22:13:20Z')
})
