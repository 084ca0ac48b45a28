/** Judges one value that is held whole, by its row and the rows of its members. */
import { Failure } from '../errors.ts'
import { type At, element, entry, type Hearing, member, verdictOf, violate } from './hearing.ts'
import { isList, isMap, type Json, serialise, shorten } from './json.ts'
import { isZero, type Judge, type Row, type Shape, type Verdict } from './table.ts'

/** Things that one value may name: each may have to be looked up at the engine. */
const MOST_NAMED = 256

const sizeOf = (value: Json): number => {
  if (isList(value)) return value.length
  return isMap(value) ? value.size : 1
}

/**
 * What to send for a value; undefined for nothing at all.
 * @throws Failure POLICY_DENIED, where the policy refuses and does not strip.
 */
export const judge = (row: Row, value: Json, at: At, hearing: Hearing): Json | undefined => {
  const verdict = verdictOf(row, at.rule, hearing)
  if (row.names !== undefined && sizeOf(value) > MOST_NAMED)
    throw new Failure('BODY_TOO_LARGE', `${at.path} names more than ${MOST_NAMED} things`)
  for (const reference of row.names?.(value) ?? [])
    hearing.findings.references.push({ ...reference, path: at.path, verdict })
  const means = !(row.isZero?.(value) ?? isZero(row.shape, value))
  if (verdict === 'deny' && means) return violate(hearing, at, verdict, value, row.why, row.cure)
  const sent = verdict === 'drop' ? undefined : weigh(row, verdict, means, value, at, hearing)
  report(hearing, at, verdict, value, sent, row)
  return hearing.policy.mode === 'audit' && verdict !== 'allow' ? value : sent
}

const weigh = (
  row: Row,
  verdict: Verdict,
  means: boolean,
  value: Json,
  at: At,
  hearing: Hearing,
): Json | undefined => {
  const inner = descend(row.shape, value, at, hearing)
  if (!means || (verdict !== 'clamp' && verdict !== 'confine')) return inner
  const each =
    row.each === undefined ? inner : judgeEach(row.each, row, verdict, inner, at, hearing)
  return row.judge === undefined ? each : settle(row.judge, row, verdict, each, at, hearing)
}

const settle = (
  rule: Judge,
  row: Row,
  verdict: Verdict,
  value: Json,
  at: At,
  hearing: Hearing,
): Json | undefined => {
  const outcome = rule(value, hearing)
  if ('send' in outcome) return outcome.send
  return violate(hearing, at, verdict, value, outcome.refuse, outcome.cure ?? row.cure)
}

const judgeEach = (
  rule: Judge,
  row: Row,
  verdict: Verdict,
  value: Json,
  at: At,
  hearing: Hearing,
): Json => {
  if (isList(value)) {
    return value.flatMap((item, index) => {
      const sent = settle(rule, row, verdict, item, element(at, index), hearing)
      return sent === undefined ? [] : [sent]
    })
  }
  if (!isMap(value)) return value
  const kept = new Map<string, Json>()
  for (const [key, item] of value) {
    const sent = settle(rule, row, verdict, item, entry(at, key), hearing)
    if (sent !== undefined) kept.set(key, sent)
  }
  return kept
}

/** The rows of a value's members, in whatever depth they stand. */
const descend = (shape: Shape, value: Json, at: At, hearing: Hearing): Json => {
  if (shape.is === 'list' && isList(value) && shape.of.is !== 'string') {
    return value.map((item, index) => descend(shape.of, item, element(at, index), hearing))
  }
  if (!isMap(value)) return value
  if (shape.is === 'map' && shape.of.is !== 'string') {
    return new Map(
      Array.from(value, ([key, item]) => [key, descend(shape.of, item, entry(at, key), hearing)]),
    )
  }
  if (shape.is !== 'struct') return value
  const kept = new Map<string, Json>()
  for (const [name, item] of value) {
    const row = shape.rows.get(name)
    const sent = row === undefined ? undefined : judge(row, item, member(at, name), hearing)
    if (sent !== undefined) kept.set(name, sent)
  }
  return kept
}

const report = (
  hearing: Hearing,
  at: At,
  verdict: Verdict,
  value: Json,
  sent: Json | undefined,
  row: Row,
): void => {
  if (hearing.onDecision === undefined) return
  const show = (shown: Json | undefined): string | undefined =>
    shown === undefined ? undefined : shorten(serialise(shown))
  hearing.onDecision({
    path: at.path,
    verdict,
    refused: false,
    value: show(value),
    sent: show(sent),
    why: verdict === 'allow' ? undefined : row.why,
  })
}
