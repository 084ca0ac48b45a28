/** Whether what a tenant is given has a meaning in the berth.yaml at hand: told to the operator now, not to the tenant later. */
import type { OperatorConfig } from '../config/config.ts'
import { DEFAULT_ENDPOINT } from '../endpoint/directory.ts'
import { DEFAULT_PLAN } from './plans.ts'
import { policiesOf } from './policies.ts'

/** Names that a tenant's record refers to; an endpoint may be an address too. */
export interface Given {
  readonly endpoint?: string | undefined
  readonly policy?: string | undefined
  readonly plan?: string | undefined
}

/**
 * One sentence for each name that this configuration does not have. Berths may run with another one, on another machine.
 * @throws ConfigError for policies that are wrong
 */
export const unknownAmong = (
  { endpoint, policy, plan }: Given,
  config: Pick<OperatorConfig, 'endpoints' | 'plans' | 'policies'>,
): string[] => {
  const isAddress = endpoint?.includes('://') === true
  const references = [
    [
      'endpoint',
      isAddress ? undefined : endpoint,
      [DEFAULT_ENDPOINT, ...Object.keys(config.endpoints)],
    ],
    ['policy', policy, Object.keys(policiesOf(config))],
    ['plan', plan, [DEFAULT_PLAN, ...Object.keys(config.plans)]],
  ] as const
  return references.flatMap(([what, name, known]) =>
    name === undefined || known.includes(name)
      ? []
      : `no ${what} is called "${name}" in this configuration (there are ${[...new Set(known)].join(', ')}): a berth that does not know it answers 503`,
  )
}
