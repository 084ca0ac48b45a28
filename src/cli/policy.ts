/** `berth policy show`: every rule there is, as it holds under a policy. */
import { effective } from '../policy/effective.ts'
import { type Policy, withTerms } from '../policy/policy.ts'
import type { Asking } from '../proxy.ts'
import { CommandError, type Io } from './io.ts'
import { inOffice, operatorConfig } from './operator.ts'
import type { RecordFlags } from './options.ts'
import { policiesOf, policyCalled, termsOf } from './policies.ts'
import { ANONYMOUS_ID } from './tenancy.ts'

export interface PolicyFlags extends RecordFlags {
  readonly profile?: string
  readonly tenant?: string
  readonly json?: boolean
}

type Subject = Pick<Asking, 'id' | 'plan' | 'policy'>

/** The tenant of the store whom the flags name; else the one whom nobody asks. */
const subjectOf = async (io: Io, flags: PolicyFlags): Promise<Partial<Subject>> => {
  const { tenant } = flags
  return tenant === undefined ? {} : inOffice(io, flags, ({ registry }) => registry.show(tenant))
}

/** The policy that holds for a tenant, or one by name, with what his plan adds. */
export const policyFor = async (io: Io, flags: PolicyFlags): Promise<Policy> => {
  const config = operatorConfig(io, flags)
  const { id = ANONYMOUS_ID, plan = 'default', policy: own } = await subjectOf(io, flags)
  const policies = policiesOf(config)
  const name = flags.profile ?? own ?? config.profile
  const policy = policyCalled(name, policies)
  if (policy === undefined)
    throw new CommandError(
      `there is no policy called "${name}"; there are ${Object.keys(policies).join(', ')}`,
    )
  return withTerms(policy, termsOf(config, { id, plan }))
}

export const showPolicy = async (io: Io, flags: PolicyFlags): Promise<void> => {
  const policy = await policyFor(io, flags)
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
