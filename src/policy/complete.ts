/** What berth adds to an object at its end: values that a rule settles whether they were sent or not. */
import { type At, type Hearing, isLimiting, member, verdictOf } from './hearing.ts'
import { type Json, serialise, shorten } from './json.ts'
import type { Row, Struct } from './table.ts'

/**
 * The members to write at the end of an object.
 * @param waiting what the rules left of the values that the client sent
 * @param streamed members that have been sent, and completed, already
 */
export const complete = (
  shape: Struct,
  at: At,
  hearing: Hearing,
  waiting: ReadonlyMap<string, Json> = new Map(),
  streamed: ReadonlySet<string> = new Set(),
): ReadonlyMap<string, Json> => {
  const made = new Map<string, Json>()
  const sibling = (name: string): Json | undefined => made.get(name) ?? waiting.get(name)
  for (const [name, row] of shape.completed) {
    if (streamed.has(name)) continue
    const sent = waiting.get(name)
    const value = completed(row, member(at, name), sent, hearing, sibling)
    if (value !== undefined) made.set(name, value)
  }
  return made
}

const completed = (
  row: Row,
  at: At,
  sent: Json | undefined,
  hearing: Hearing,
  sibling: (name: string) => Json | undefined,
): Json | undefined => {
  if (row.opens && row.shape.is === 'struct') return unlessEmpty(complete(row.shape, at, hearing))
  if (row.add !== undefined) return unlessEmpty(row.add(hearing))
  const verdict = verdictOf(row, at.rule, hearing)
  if (row.force === undefined || !isLimiting(verdict) || hearing.policy.mode === 'audit')
    return sent
  const value = row.force(sent, hearing, sibling)
  const was = sent === undefined ? undefined : serialise(sent)
  const is = value === undefined ? undefined : serialise(value)
  if (was !== is) {
    hearing.onDecision?.({
      path: at.path,
      verdict,
      refused: false,
      value: was === undefined ? undefined : shorten(was),
      sent: is === undefined ? undefined : shorten(is),
      why: row.why,
    })
  }
  return value
}

const unlessEmpty = (map: ReadonlyMap<string, Json>): Json | undefined =>
  map.size === 0 ? undefined : map
