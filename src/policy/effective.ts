/** Every rule there is, as it holds under a policy: for `berth policy show`, and for what berth.yaml may change. */
import { BODIES } from './body.ts'
import { definePolicy, type Policy } from './policy.ts'
import { QUERIES } from './queries.ts'
import { ROUTE_ROWS, routePath } from './routes.ts'
import {
  PROFILES,
  type Profile,
  type Row,
  type Shape,
  type Verdict,
  type Verdicts,
} from './table.ts'

export interface Rule {
  /** As in `policies.NAME.rows` of berth.yaml. */
  readonly path: string
  readonly verdict: Verdict
  /** Did the operator change it? */
  readonly isChanged: boolean
  /** May the operator change it? */
  readonly isFixed: boolean
  readonly why: string | undefined
  readonly cure: string | undefined
}

interface Written {
  readonly path: string
  readonly verdicts: Verdicts
  readonly isFixed: boolean
  readonly why: string | undefined
  readonly cure: string | undefined
}

const join = (prefix: string, name: string): string => (prefix === '' ? name : `${prefix}.${name}`)

/** Berth's own labels and the descent into an object hold under every policy. */
const isFixed = (row: Row): boolean => row.opens === true || row.keep !== undefined

const rulesOf = (prefix: string, shape: Shape): readonly Written[] => {
  if (shape.is === 'list') return rulesOf(`${prefix}[]`, shape.of)
  if (shape.is === 'map') return rulesOf(join(prefix, '*'), shape.of)
  if (shape.is !== 'struct') return []
  return [...shape.rows].flatMap(([name, row]) => {
    const path = join(prefix, name)
    const { verdicts, why, cure } = row
    return [{ path, verdicts, isFixed: isFixed(row), why, cure }, ...rulesOf(path, row.shape)]
  })
}

const written = (): readonly Written[] => {
  const bodies = Object.values(BODIES).flatMap(({ prefix, shape }) => rulesOf(prefix, shape))
  const queries = Object.values(QUERIES).flatMap(({ prefix, shape }) => rulesOf(prefix, shape))
  const routes = Object.entries(ROUTE_ROWS).map(([id, row]) => ({
    path: routePath(id),
    isFixed: false,
    ...row,
  }))
  const all = [...bodies, ...queries, ...routes]
  return [...new Map(all.map((rule) => [rule.path, rule])).values()]
}

const WRITTEN = written()

/** The table as it holds, in the order in which it is written. */
export const effective = (policy: Policy): readonly Rule[] =>
  WRITTEN.map(({ path, verdicts, why, cure, isFixed: fixed }) => ({
    path,
    verdict: policy.rows.get(path) ?? verdicts[policy.profile],
    isChanged: policy.rows.has(path),
    isFixed: fixed,
    why,
    cure,
  }))

/** What `rows` of a policy may name. */
export const RULE_PATHS: ReadonlySet<string> = new Set(
  WRITTEN.filter((rule) => !rule.isFixed).map((rule) => rule.path),
)

/** The three profiles as policies that nobody has changed. */
export const PROFILE_POLICIES: Readonly<Record<Profile, Policy>> = {
  dedicated: definePolicy('dedicated', { extends: 'dedicated' }, RULE_PATHS),
  shared: definePolicy('shared', { extends: 'shared' }, RULE_PATHS),
  open: definePolicy('open', { extends: 'open' }, RULE_PATHS),
}

/** The policies of berth.yaml by name, with the profiles among them. */
export const definePolicies = (
  raw: Readonly<Record<string, unknown>>,
): Readonly<Record<string, Policy>> => {
  const own = Object.entries(raw).map(([name, options]) => {
    if (PROFILES.some((profile) => profile === name)) {
      throw new TypeError(
        `policies.${name}: this is the name of a profile; choose another and extend it`,
      )
    }
    return [name, definePolicy(name, options, RULE_PATHS)] as const
  })
  return { ...PROFILE_POLICIES, ...Object.fromEntries(own) }
}
