/** One request before its judge: what it decided, what it found out on the way, and how it refuses. */
import { Failure } from '../errors.ts'
import { type Json, serialise, shorten } from './json.ts'
import type { Policy } from './policy.ts'
import type { Row, Verdict } from './table.ts'

/** Where a value stands: in the body for messages, and in the tables (indexes and map keys left out). */
export interface At {
  readonly path: string
  readonly rule: string
}

export const member = (at: At, name: string): At => ({
  path: join(at.path, name),
  rule: join(at.rule, name),
})
export const element = (at: At, index: number): At => ({
  path: `${at.path}[${index}]`,
  rule: `${at.rule}[]`,
})
export const entry = (at: At, key: string): At => ({
  path: `${at.path}[${JSON.stringify(shorten(key, 40))}]`,
  rule: `${at.rule}.*`,
})
const join = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`)

/** One line of `berth explain` and of the audit trail. */
export interface Decision {
  readonly path: string
  readonly verdict: Verdict
  /** Did the value break the rule? In mode `audit` it was sent all the same. */
  readonly refused: boolean
  /** What the client sent, shortened; undefined where berth adds a key of its own. */
  readonly value: string | undefined
  /** What goes to the engine, shortened; undefined where nothing does. */
  readonly sent: string | undefined
  readonly why: string | undefined
}

/** An object of the engine that a request names, for its caller to resolve and check. */
export interface Reference {
  readonly kind:
    | 'container'
    | 'image'
    | 'network'
    | 'volume'
    | 'session'
    | 'build'
    | 'tag'
    | 'exposed'
  readonly name: string
}

/** A reference, where it stands, and by which verdict. */
export interface Mention extends Reference {
  readonly path: string
  readonly verdict: Verdict
}

/** What has to exist before the engine may see the request. */
export type Preparation =
  | {
      readonly kind: 'volume'
      readonly name: string
      readonly labels: ReadonlyMap<string, string>
      readonly options: Readonly<Record<string, string>>
    }
  | { readonly kind: 'subpath'; readonly volume: string; readonly path: string }

/** What a request turned out to need, beside the bytes that are sent. */
export interface Findings {
  readonly references: readonly Mention[]
  readonly preparations: readonly Preparation[]
  /** For the `Warnings` of the engine's answer. */
  readonly warnings: readonly string[]
}

export interface Events {
  readonly onDecision?: ((decision: Decision) => void) | undefined
}

/** What a judge may ask and note down. */
export interface Hearing {
  readonly policy: Policy
  readonly findings: {
    readonly references: Mention[]
    readonly preparations: Preparation[]
    readonly warnings: string[]
  }
  /** Mounts that bind specs have been turned into, for the row of mounts to send. */
  readonly mounts: Json[]
  readonly onDecision: ((decision: Decision) => void) | undefined
}

export const openHearing = (policy: Policy, events: Events = {}): Hearing => ({
  policy,
  findings: { references: [], preparations: [], warnings: [] },
  mounts: [],
  onDecision: events.onDecision,
})

/** The verdict that holds for a row: the policy's own, else its profile's column. */
export const verdictOf = (row: Row, rule: string, { policy }: Hearing): Verdict =>
  policy.rows.get(rule) ?? row.verdicts[policy.profile]

/** Does this verdict put a rule's own values in the place of the client's? */
export const isLimiting = (verdict: Verdict): boolean =>
  verdict === 'clamp' || verdict === 'confine'

/** A value that breaks a rule: refused, taken out, or in mode `audit` noted and let through. */
export const violate = (
  hearing: Hearing,
  at: At,
  verdict: Verdict,
  value: Json,
  why = 'it is not on the list of what may be asked for',
  cure = 'Leave it out.',
): Json | undefined => {
  const { policy } = hearing
  const shown = shorten(serialise(value))
  const passes = policy.mode === 'audit'
  hearing.onDecision?.({
    path: at.path,
    verdict,
    refused: true,
    value: shown,
    sent: passes ? shown : undefined,
    why,
  })
  if (passes) return value
  if (policy.onViolation === 'strip') {
    hearing.findings.warnings.push(`${at.path} = ${shown} was left out: ${why}`)
    return undefined
  }
  throw new Failure(
    'POLICY_DENIED',
    `${at.path} = ${shown} (policy '${policy.name}'): ${why}. ${cure}`,
  )
}
