/** The body of POST /containers/{id}/update: the limits of a create, but what is not sent stays as it is. */
import { integer, type Json, num } from './json.ts'
import { limited } from './limits.ts'
import { RESOURCES } from './resources.ts'
import { type Body, type Force, struct } from './table.ts'

const orUnchanged =
  (force: Force): Force =>
  (sent, hearing, sibling) =>
    integer(sent) === 0n ? sent : force(sent, hearing, sibling)

/** 0 and below mean "no limit" here, and only null "unchanged". */
const pids: Force = (sent, { policy }) =>
  sent === undefined || sent === null ? sent : limited(sent, policy.terms.pids)

const cpus: Force = (sent, hearing, sibling) => {
  const isUnchanged = integer(sent) === 0n && integer(sibling('CpuQuota')) === 0n
  return isUnchanged ? sent : RESOURCES.NanoCpus.force(sent, hearing, sibling)
}

const reservation: Force = (sent, hearing, sibling) => {
  const limit = hearing.policy.terms.memory
  const kept: Json | undefined = RESOURCES.MemoryReservation.force(sent, hearing, sibling)
  return kept === undefined || limit === undefined || integer(kept) <= limit ? kept : num(limit)
}

/** Its rules go by the names of HostConfig: what an operator changes for create holds for update. */
export const UPDATE: Body = {
  prefix: 'HostConfig',
  shape: struct({
    ...RESOURCES,
    Memory: { ...RESOURCES.Memory, force: orUnchanged(RESOURCES.Memory.force) },
    MemoryReservation: { ...RESOURCES.MemoryReservation, force: reservation },
    NanoCpus: { ...RESOURCES.NanoCpus, force: cpus },
    PidsLimit: { ...RESOURCES.PidsLimit, force: pids },
  }),
}
