/** May they? The route first, then its query; what the body says is judged as it arrives. */
import type { Query } from '../route/query.ts'
import type { Route } from '../route/route.ts'
import { bodyOf, type Rules, rulesFor } from './body.ts'
import { complete } from './complete.ts'
import {
  type At,
  type Events,
  type Findings,
  type Hearing,
  member,
  openHearing,
  violate,
} from './hearing.ts'
import { isList, type Json, text } from './json.ts'
import { judge } from './judge.ts'
import type { Policy } from './policy.ts'
import { QUERIES, type QueryRules } from './queries.ts'
import { refuseRoute, routeRow } from './routes.ts'

/** What becomes of the request's body. */
export type Plan =
  /** It has none, and none is sent. */
  | { readonly kind: 'none' }
  /** Its bytes are none of ours. */
  | { readonly kind: 'stream' }
  /** It is read whole, at most `cap` bytes, before any of it is sent. */
  | { readonly kind: 'judge'; readonly cap: number; readonly rules: Rules }
  /** It may leave while it is still coming, but for its last brace. */
  | { readonly kind: 'rewrite'; readonly cap: number; readonly rules: Rules }

export interface Permit extends Findings {
  /** What is sent in place of the client's query; undefined where nothing is. */
  readonly query: Query | undefined
  readonly plan: Plan
}

/** By route. */
const RULES: ReadonlyMap<string, QueryRules> = new Map(Object.entries(QUERIES))

const NO_BODY: Plan = { kind: 'none' }
/** What no rule speaks of, and has no body to be judged. */
const UNTOUCHED: Permit = {
  query: undefined,
  plan: NO_BODY,
  references: [],
  preparations: [],
  warnings: [],
}

/** Of a JSON body, in bytes. */
export const DEFAULT_BODY_CAP = 4 << 20

/**
 * Decides on a request by all but its body.
 * @param bodyCap of a JSON body, in bytes
 * @throws Failure POLICY_DENIED
 */
export const decide = (
  policy: Policy,
  route: Pick<Route, 'id' | 'body'>,
  query: Query,
  bodyCap = DEFAULT_BODY_CAP,
  onDecision?: Events['onDecision'],
): Permit => {
  const rules = RULES.get(route.id)
  // most requests
  if (rules === undefined && route.body === 'none' && routeRow(policy, route.id) === undefined)
    return UNTOUCHED
  const hearing = openHearing(policy, { onDecision })
  decideRoute(hearing, route.id)
  const sent = rules === undefined ? undefined : judgeQuery(rules, query, hearing)
  return {
    query: sent,
    plan: planFor(policy, route, sent ?? query, bodyCap),
    references: hearing.findings.references,
    preparations: hearing.findings.preparations,
    warnings: hearing.findings.warnings,
  }
}

const decideRoute = (hearing: Hearing, id: string): void => {
  const { policy } = hearing
  const found = routeRow(policy, id)
  if (found === undefined) return
  const { path, row } = found
  const verdict = policy.rows.get(path) ?? row.verdicts[policy.profile]
  const refused = verdict !== 'allow'
  hearing.onDecision?.({
    path,
    verdict,
    refused,
    value: undefined,
    sent: undefined,
    why: refused ? row.why : undefined,
  })
  if (refused && policy.mode === 'enforce') refuseRoute(policy, id, row)
}

const judgeQuery = (rules: QueryRules, query: Query, hearing: Hearing): Query => {
  const at: At = { path: rules.prefix, rule: rules.prefix }
  const sent = new Map<string, Json>()
  for (const [key, values] of query) {
    const row = rules.shape.rows.get(key)
    const value: Json = row?.shape.is === 'list' ? values : (values[0] ?? '')
    const kept = row === undefined ? values : judge(row, value, member(at, key), hearing)
    if (kept !== undefined) sent.set(key, kept)
  }
  for (const [key, value] of complete(rules.shape, at, hearing, sent)) sent.set(key, value)
  const wrong = rules.together?.(query, hearing.policy)
  if (wrong !== undefined) {
    // there is no value to leave out: what is pulled is all that such a request is
    const strict = { ...hearing, policy: { ...hearing.policy, onViolation: 'deny' as const } }
    violate(strict, at, 'confine', [...query.keys()], wrong[0], wrong[1])
  }
  return new Map(
    Array.from(sent, ([key, value]) => [key, isList(value) ? value.map(text) : [text(value)]]),
  )
}

const planFor = (
  policy: Policy,
  route: Pick<Route, 'id' | 'body'>,
  query: Query,
  cap: number,
): Plan => {
  if (route.body === 'none') return NO_BODY
  if (route.body === 'import') {
    return query.get('fromSrc')?.[0] === '-' ? { kind: 'stream' } : { kind: 'none' }
  }
  const body = route.body === 'json' ? bodyOf(route.id) : undefined
  if (body === undefined) return { kind: 'stream' }
  const kind = route.id === 'container.create' ? 'rewrite' : 'judge'
  return { kind, cap, rules: rulesFor(policy, body) }
}
