/** Policies by name: what is not among them is refused, whatever it is called. */
import { test } from 'tap'
import { createPolicyFor } from '../../src/cli/policies.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Matched } from '../../src/route/match.ts'
import { runProgram } from '../support/program.ts'

const STRANGERS = ['mine', 'constructor', 'toString', '__proto__']

test('a tenant whose policy nobody has defined is not served', async (t) => {
  const flags = { listen: ['tcp://127.0.0.1:0'], policies: { ci: { extends: 'shared' } } }
  const policyFor = createPolicyFor(readConfig({ env: {}, flags }))
  const policyOf = (policy: string) =>
    policyFor({ id: 'a', endpoint: 'e', plan: 'default', policy }, { version: 'v1.51' } as Matched)
  t.match(policyOf('ci'), { name: 'ci', profile: 'shared' })
  for (const name of STRANGERS)
    t.throws(() => policyOf(name), { code: 'POLICY_UNKNOWN', message: /not among/ }, name)
})

test('and none is shown', async (t) => {
  for (const name of STRANGERS)
    t.match(await runProgram({}, 'policy', 'show', '--profile', name), {
      exitCode: 2,
      err: `berth: there is no policy called "${name}"; there are dedicated, shared, open`,
    })
})
