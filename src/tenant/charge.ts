/** Which requests quotas are charged for: those that begin something. What was admitted is never stopped half-way. */
import type { Weight } from './gate.ts'

export interface Charge {
  readonly weight: Weight
  /** How long its client waits for an answer, in ms, with a margin (measured with docker 28). */
  readonly patience: number
}

const begins: Charge = { weight: 'inFlight', patience: 30_000 }
const streams: Charge = { weight: 'streams', patience: 30_000 }
/** buildx gives each dial of /grpc 20 s. */
const builds: Charge = { weight: 'streams', patience: 14_000 }

/**
 * By route id. Attach, start, wait, resize, exec start and session belong to work that was let in: docker would hang
 * for ever if its start were refused while its attach is open.
 */
const CHARGES: Readonly<Record<string, Charge | undefined>> = {
  'container.create': begins,
  'container.list': begins,
  'exec.create': begins,
  'image.list': begins,
  'network.list': begins,
  'volume.list': begins,
  'image.create': streams,
  'image.load': streams,
  'build.start': builds,
  'grpc.open': builds,
}

export const chargeFor = (routeId: string): Charge | undefined => CHARGES[routeId]
