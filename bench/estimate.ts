/** How long a run will take: arithmetic with round figures of two cores, made before anything is started. */
import { CORE, type Contender } from './contender.ts'
import {
  CALIBRATIONS,
  MOMENT_SECONDS,
  type Scale,
  scaledFor,
  streamsOf,
  WARM_BYTES,
  type Workload,
} from './workload.ts'

/** Engine and contender started, asked for a ping, and stopped again. */
const START_SECONDS = 0.2
/** What contenders move: some twice that, some half. Where messages make bytes dear, fewer of them are moved. */
const BYTES_A_SECOND = 1.5e9
const STREAMS_A_SECOND = 5000
/** Memory is read when nothing has moved for half a second, twice. */
const SETTLE_SECONDS = 1
const MICRO_SECONDS = 1.4

type Jit = { readonly isJit?: boolean | undefined }
type Named = Jit & Pick<Contender, 'name' | 'isNamedOnly'>

/** One run of one contender. */
const secondsOfRun = (workload: Workload, scale: Scale, contender: Jit): number => {
  if (workload.unit === 'GB') return (scale.bulkBytes + WARM_BYTES) / BYTES_A_SECOND
  if (workload.unit === 'stream')
    return SETTLE_SECONDS + streamsOf(workload, scale) / STREAMS_A_SECOND
  const { warmup, seconds } = scaledFor(workload, scale, contender)
  // who is to go ahead is warmed up before
  const before = workload.placement === 'undisturbed' ? scale.warmup + MOMENT_SECONDS : 0
  return before + warmup + seconds
}

/** Whoever drowns in a fixed rate is measured once: on every machine so far, all but the core and the guests. */
const roundsFor = ({ atHalfLoad }: Workload, { name, isNamedOnly }: Named, rounds: number) =>
  atHalfLoad && !isNamedOnly && !CORE.has(name) ? 1 : rounds

/** @param contenders who take part */
export const secondsOf = (
  workload: Workload,
  scale: Scale,
  rounds: number,
  contenders: readonly Named[],
): number => {
  const once = (contender: Jit): number => START_SECONDS + secondsOfRun(workload, scale, contender)
  // a fixed rate is found by measuring two of them
  const calibrating = workload.atHalfLoad ? CALIBRATIONS * (once({ isJit: true }) + once({})) : 0
  return contenders.reduce(
    (sum, contender) => sum + roundsFor(workload, contender, rounds) * once(contender),
    calibrating,
  )
}

export const microSecondsOf = (benches: number, rounds: number): number =>
  benches * rounds * MICRO_SECONDS
