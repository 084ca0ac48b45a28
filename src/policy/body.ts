/** The bodies that carry power, by route, and the judging of one. */
import type { RouteId } from '../route/routes.ts'
import { COMMIT, CREATE } from './create.ts'
import { EXEC_CREATE, EXEC_START } from './exec.ts'
import type { Events, Findings } from './hearing.ts'
import { NETWORK_CONNECT, NETWORK_CREATE, NETWORK_DISCONNECT } from './networks.ts'
import type { Policy } from './policy.ts'
import { AUTH } from './registry.ts'
import type { Body } from './table.ts'
import { createTransform, type Transform, type TransformEvents } from './transform.ts'
import { UPDATE } from './update.ts'
import { VOLUME_CREATE } from './volumes.ts'

/** Bodies of other routes go unread, where a profile lets such a route be used at all. */
export const BODIES: Partial<Record<RouteId, Body>> = {
  'container.create': CREATE,
  'container.update': UPDATE,
  'exec.create': EXEC_CREATE,
  'exec.start': EXEC_START,
  'image.commit': COMMIT,
  'network.connect': NETWORK_CONNECT,
  'network.create': NETWORK_CREATE,
  'network.disconnect': NETWORK_DISCONNECT,
  'system.auth': AUTH,
  'volume.create': VOLUME_CREATE,
}

export const bodyOf = (id: string): Body | undefined =>
  (BODIES as Readonly<Record<string, Body | undefined>>)[id]

/** What a stage that may not know policy needs to judge a body. */
export interface Rules {
  begin(events: TransformEvents): Transform
}

export const rulesFor = (policy: Policy, body: Body): Rules => ({
  begin: (events) => createTransform(policy, body, events),
})

/**
 * Judges a body that is there whole.
 * @returns the bytes to send, and what the body turned out to need
 * @throws Failure POLICY_DENIED, MALFORMED_BODY or BODY_TOO_LARGE
 */
export const judgeBody = (
  policy: Policy,
  body: Body,
  bytes: Uint8Array,
  events: Events = {},
): Findings & { readonly bytes: Uint8Array } => {
  const pieces: Uint8Array[] = []
  const transform = createTransform(policy, body, {
    ...events,
    onOutput: (piece) => {
      pieces.push(piece)
    },
  })
  transform.write(bytes)
  const findings = transform.finish()
  return { ...findings, bytes: join(pieces) }
}

const join = (pieces: readonly Uint8Array[]): Uint8Array => {
  const [first] = pieces
  if (pieces.length === 1 && first !== undefined) return first
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
