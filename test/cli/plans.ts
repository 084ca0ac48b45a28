import { test } from 'tap'
import { planOf } from '../../src/cli/plans.ts'

const plans = { small: { inFlight: 2, memory: 1n }, empty: {} }

test('a plan is what berth.yaml says of it', async (t) => {
  t.strictSame(planOf({ plans }, 'small'), plans.small)
  t.strictSame(planOf({ plans: { default: plans.small } }, 'default'), plans.small)
})

test('only the default plan may go without an entry: it has no limits', async (t) => {
  t.strictSame(planOf({ plans }, 'default'), {})
})

test('a plan that nobody has defined is refused, and gives nobody more than was meant', async (t) => {
  for (const name of ['smal', 'toString', '__proto__'])
    t.throws(
      () => planOf({ plans }, name),
      { code: 'PLAN_UNKNOWN', message: /not among the plans/ },
      name,
    )
})
