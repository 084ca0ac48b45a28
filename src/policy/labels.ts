/** Labels: a client's own, and the families that berth and the ingress give a meaning. */
import type { Hearing } from './hearing.ts'
import { fold, type Json } from './json.ts'
import { everywhere, type Row, STRING_MAP } from './table.ts'

const RESERVED = ['berth.', 'traefik.']
/** Of the reserved families, those that berth documents for its users. */
const DOCUMENTED = new Set(['berth.http'])

/** May a client set this label? Traefik reads its labels in any case. */
export const isOwnLabel = (name: string, { policy }: Hearing): boolean => {
  if (policy.terms.labels?.has(name)) return false
  const folded = fold(name)
  const reserved = policy.profile === 'open' ? RESERVED.slice(0, 1) : RESERVED
  return DOCUMENTED.has(name) || !reserved.some((family) => folded.startsWith(family))
}

export const ownerLabels = ({ policy }: Hearing): ReadonlyMap<string, Json> =>
  policy.terms.labels ?? new Map()

/** The row of `Labels`, whatever they are put on. */
export const LABELS = {
  shape: STRING_MAP,
  verdicts: everywhere('confine'),
  keep: isOwnLabel,
  add: ownerLabels,
  why: 'labels of this family are set by berth alone',
} as const satisfies Row
