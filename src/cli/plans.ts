/** What a tenant's plan allows him: looked up in one place, and never taken for boundless because its name is not known. */
import type { Config } from '../config/config.ts'
import { Failure } from '../errors.ts'

type Plan = Config['plans'][string]

/** The plan of tenants to whom nobody has given another; without an entry in `plans` it has no limits. */
export const DEFAULT_PLAN = 'default'

const WITHOUT_LIMITS: Plan = {}

/** @throws Failure PLAN_UNKNOWN */
export const planOf = (config: Pick<Config, 'plans'>, name: string): Plan => {
  if (Object.hasOwn(config.plans, name)) return config.plans[name] ?? WITHOUT_LIMITS
  if (name === DEFAULT_PLAN) return WITHOUT_LIMITS
  throw new Failure('PLAN_UNKNOWN', `"${name}" is not among the plans of this berth`)
}
