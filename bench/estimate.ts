/** How long a run will take: arithmetic with round figures of two cores, made before anything is started. */
import {
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

/** @param contenders who take part */
export const secondsOf = (
  workload: Workload,
  scale: Scale,
  rounds: number,
  contenders: readonly Jit[],
): number => {
  // a fixed rate is found by measuring two of them once
  const calibrating: Jit[] = workload.atHalfLoad ? [{ isJit: true }, {}] : []
  const once = (sum: number, contender: Jit): number =>
    sum + START_SECONDS + secondsOfRun(workload, scale, contender)
  return rounds * contenders.reduce(once, 0) + calibrating.reduce(once, 0)
}

export const microSecondsOf = (benches: number, rounds: number): number =>
  benches * rounds * MICRO_SECONDS
