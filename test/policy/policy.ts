import { test } from 'tap'
import { judgeBody } from '../../src/policy/body.ts'
import { CREATE } from '../../src/policy/create.ts'
import {
  definePolicies,
  effective,
  PROFILE_POLICIES,
  RULE_PATHS,
} from '../../src/policy/effective.ts'
import { PROFILES } from '../../src/policy/table.ts'

const define = (options: unknown) => definePolicies({ ci: options }).ci!

test('what is wrong with a policy is said by the name of the key', async (t) => {
  const says = (options: unknown): string => {
    try {
      define(options)
      return 'nothing'
    } catch (error) {
      return error instanceof TypeError ? error.message : `no TypeError: ${error}`
    }
  }
  t.match(says({ extends: 'dedicatd' }), /^policies\.ci\.extends: /)
  t.match(says({ onviolation: 'deny' }), /^policies\.ci: .*onviolation/)
  t.match(says({ runAs: 0 }), /^policies\.ci\.runAs: /)
  t.match(says({ ports: '80' }), /^policies\.ci\.ports: .*8000-8999/)
  t.match(
    says({ rows: { 'HostConfig.Privileged': 'yes' } }),
    /^policies\.ci\.rows\.HostConfig\.Privileged: /,
  )
  t.match(
    says({ rows: { 'hostconfig.privileged': 'deny' } }),
    /there is no key "hostconfig.privileged"; did you mean HostConfig\.Privileged\?/,
  )
  t.match(says({ extend: 'shared' }), /^policies\.ci: .*"extend"; did you mean extends\?$/)
  t.match(says({ zzz: 1 }), /^policies\.ci: .*"zzz"$/)
  t.match(
    says({ rows: { 'HostConfig.Priviledged': 'deny' } }),
    /"HostConfig\.Priviledged"; did you mean HostConfig\.Privileged\?/,
  )
  t.match(
    says({ rows: { Labels: 'allow' } }),
    /there is no key "Labels"/,
    "berth's own labels are not negotiable",
  )
  t.match(says({ sharedMounts: { a: 'relative' } }), /^policies\.ci\.sharedMounts\.a: /)
  t.equal(says({}), 'nothing')
  t.throws(() => definePolicies({ open: {} }), /policies\.open: .*name of a profile/)
})

test('a row that the operator changes holds in every profile', async (t) => {
  const body = new TextEncoder().encode('{"Image":"a","HostConfig":{"Privileged":true}}')
  const lenient = define({ rows: { 'HostConfig.Privileged': 'allow' } })
  t.match(new TextDecoder().decode(judgeBody(lenient, CREATE, body).bytes), '"Privileged":true')
  const strict = define({ extends: 'open', rows: { 'HostConfig.Privileged': 'deny' } })
  t.throws(() => judgeBody(strict, CREATE, body), { code: 'POLICY_DENIED', message: /policy 'ci'/ })
  const quiet = define({ extends: 'open', rows: { 'HostConfig.Privileged': 'drop' } })
  t.notMatch(new TextDecoder().decode(judgeBody(quiet, CREATE, body).bytes), /Privileged/)
})

test('a row deep in a list holds there, whether the list streams or is held', async (t) => {
  const path = 'HostConfig.Mounts[].VolumeOptions.DriverConfig'
  const options = { DriverConfig: { Name: 'nfs' } }
  const mounts = [{ Type: 'volume', Target: '/t', VolumeOptions: options }]
  const body = new TextEncoder().encode(
    JSON.stringify({ Image: 'a', HostConfig: { Mounts: mounts } }),
  )
  const strict = define({ extends: 'open', rows: { [path]: 'deny', 'HostConfig.Mounts': 'allow' } })
  t.throws(() => judgeBody(strict, CREATE, body), {
    message: /Mounts\[0\]\.VolumeOptions\.DriverConfig/,
  })
  const lenient = define({ rows: { [path]: 'allow' } })
  t.doesNotThrow(() => judgeBody(lenient, CREATE, body))
})

test('the effective table lists every rule once, with a reason and a cure where it refuses', async (t) => {
  for (const profile of PROFILES) {
    const rules = effective(PROFILE_POLICIES[profile])
    t.equal(new Set(rules.map((rule) => rule.path)).size, rules.length, profile)
    for (const rule of rules) {
      if (rule.verdict === 'deny') t.ok(rule.why && rule.cure, `${profile}: ${rule.path}`)
      if (rule.verdict === 'drop') t.ok(rule.why, `${profile}: ${rule.path}`)
    }
  }
  const ci = define({ rows: { 'HostConfig.CapAdd': 'allow' } })
  t.match(
    effective(ci).filter((rule) => rule.isChanged),
    [{ path: 'HostConfig.CapAdd', verdict: 'allow' }],
  )
  t.ok(RULE_PATHS.has('exec.Privileged') && RULE_PATHS.has('route swarm'))
})

test('no row refuses more of a dedicated tenant than of a shared one', async (t) => {
  const rank = { allow: 0, drop: 1, clamp: 1, confine: 2, deny: 3 }
  const shared = effective(PROFILE_POLICIES.shared)
  for (const [at, rule] of effective(PROFILE_POLICIES.dedicated).entries()) {
    t.ok(rank[rule.verdict] <= rank[shared[at]!.verdict], rule.path)
  }
  t.ok(effective(PROFILE_POLICIES.open).every((rule) => rule.verdict !== 'deny'))
})
