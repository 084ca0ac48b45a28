/** Mode `audit`: what a policy would have done is told, and nothing is done. */
import { Failure } from './errors.ts'
import { audits } from './observe/events.ts'
import type { Decision } from './policy/hearing.ts'
import type { Policy } from './policy/policy.ts'
import type { Matched } from './route/match.ts'

/** Takes down one decision that was not carried out. */
export type Note = (decision: Decision) => void

/** @returns undefined where the policy is enforced */
export const notesOf = (
  asked: { readonly id: string },
  tenant: { readonly id: string },
  { route }: Matched,
  { mode, name }: Policy,
): Note | undefined => {
  return mode === 'audit' ? noteFor(asked, tenant.id, route.template, name) : undefined
}

const noteFor =
  (asked: { readonly id: string }, tenant: string, route: string, policy: string): Note =>
  ({ path, verdict, refused, value, sent, why }) => {
    // clients send much that means nothing and is dropped: to tell of it would hide the rest
    const matters = refused || (verdict !== 'drop' && value !== sent)
    if (!matters || !audits.isHeard) return
    audits.publish({ id: asked.id, tenant, route, policy, path, verdict, refused, why })
  }

/**
 * For the `catch` around what may refuse.
 * @throws `error`, unless it is a refusal and somebody takes it down instead
 */
export const noteOrThrow = (note: Note | undefined, path: string, error: unknown): void => {
  if (note === undefined || !(error instanceof Failure)) throw error
  const { message: why } = error
  note({ path, verdict: 'deny', refused: true, value: undefined, sent: undefined, why })
}
