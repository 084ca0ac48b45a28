/** Which rules hold for a request: a policy by name, with the terms of the tenant's plan and of the API it speaks. */
import { type Config, ConfigError } from '../config/config.ts'
import { Failure } from '../errors.ts'
import { definePolicies } from '../policy/effective.ts'
import { type Policy, type Terms, withTerms } from '../policy/policy.ts'
import type { Asking, Stages } from '../proxy.ts'
import type { Matched } from '../route/match.ts'
import { planOf } from './plans.ts'
import { ANONYMOUS_ID } from './tenancy.ts'

/** Put on everything that a tenant makes, so that it can be found again. */
const OWNER_LABEL = 'berth.tenant'
/** Where the bind mounts of a tenant live; an anonymous one shares his engine with nobody. */
const FILES_VOLUME = 'berth-files'
const NANO = 1_000_000_000

/** @throws ConfigError naming the key */
export const policiesOf = (config: Pick<Config, 'policies'>): Readonly<Record<string, Policy>> => {
  try {
    return definePolicies(config.policies)
  } catch (error) {
    throw new ConfigError((error as Error).message, { cause: error })
  }
}

/** The policy of this name, if there is one; what every object has (`constructor`) is none. */
export const policyCalled = (
  name: string,
  policies: Readonly<Record<string, Policy>>,
): Policy | undefined => (Object.hasOwn(policies, name) ? policies[name] : undefined)

/** What the plan adds, and who the owner is. */
export const termsOf = (
  config: Pick<Config, 'plans'>,
  tenant: Pick<Asking, 'id' | 'plan'>,
): Terms => {
  const plan = planOf(config, tenant.plan)
  const isAnonymous = tenant.id === ANONYMOUS_ID
  return {
    ...(!isAnonymous && { labels: new Map([[OWNER_LABEL, tenant.id]]) }),
    ...(plan.memory !== undefined && { memory: plan.memory }),
    ...(plan.cpus !== undefined && { nanoCpus: BigInt(Math.round(plan.cpus * NANO)) }),
    ...(plan.pids !== undefined && { pids: BigInt(plan.pids) }),
    buildsAreFenced: true,
    volume: isAnonymous ? FILES_VOLUME : `${FILES_VOLUME}-${tenant.id}`,
  }
}

/** `v1.51` -> its numbers, for what only newer engines can do. */
const apiOf = (version: string): readonly [number, number] | undefined => {
  const [major, minor] = version.slice(1).split('.').map(Number)
  return major === undefined || minor === undefined ? undefined : [major, minor]
}

/** @throws ConfigError for a profile or policy that is wrong; what it returns throws POLICY_UNKNOWN */
export const createPolicyFor = (config: Config): Stages['policy'] => {
  const policies = policiesOf(config)
  if (config.anonymous && !Object.hasOwn(policies, config.profile))
    throw new ConfigError(
      `profile: there is none called "${config.profile}"; there are ${Object.keys(policies).join(', ')}`,
    )
  /** By the tenant's record as it is now, and the version that a request speaks. */
  const ready = new WeakMap<Asking, Map<string, Policy>>()
  return (tenant: Asking, { version }: Matched): Policy => {
    const known = ready.get(tenant)?.get(version)
    if (known !== undefined) return known
    const policy = policyCalled(tenant.policy, policies)
    if (policy === undefined)
      throw new Failure(
        'POLICY_UNKNOWN',
        `"${tenant.policy}" is not among the policies of this berth`,
      )
    const api = apiOf(version)
    const made = withTerms(policy, {
      ...termsOf(config, tenant),
      ...(api !== undefined && { api }),
    })
    ready.set(tenant, (ready.get(tenant) ?? new Map()).set(version, made))
    return made
  }
}
