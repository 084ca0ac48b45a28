/** `berth policy show`: every rule there is, as it holds under a policy. */
import { effective } from '../policy/effective.ts'
import type { Policy } from '../policy/policy.ts'
import { CommandError, type Io } from './io.ts'
import { operatorConfig } from './operator.ts'
import { policiesOf } from './policies.ts'

export interface PolicyFlags {
  readonly profile?: string
  readonly config?: string
  readonly json?: boolean
}

/** A policy of berth.yaml, or a profile. */
export const policyNamed = (io: Io, flags: PolicyFlags): Policy => {
  const config = operatorConfig(io, flags.config === undefined ? {} : { config: flags.config })
  const policies = policiesOf(config)
  const name = flags.profile ?? config.profile
  const policy = policies[name]
  if (policy === undefined)
    throw new CommandError(
      `there is no policy called "${name}"; there are ${Object.keys(policies).join(', ')}`,
    )
  return policy
}

export const showPolicy = (io: Io, flags: PolicyFlags): void => {
  const policy = policyNamed(io, flags)
  const rules = effective(policy)
  if (flags.json) return io.out(JSON.stringify({ policy: policy.name, rules }, null, 2))
  const width = Math.max(...rules.map(({ path }) => path.length))
  for (const { path, verdict, isChanged, why, cure } of rules)
    io.out(
      `${path.padEnd(width)}  ${verdict.padEnd(7)}${isChanged ? '*' : ' '} ${[why, cure].filter(Boolean).join('. ')}`.trimEnd(),
    )
  io.out('')
  io.out(
    `policy '${policy.name}', profile '${policy.profile}'; rules marked * are changed in berth.yaml`,
  )
}
