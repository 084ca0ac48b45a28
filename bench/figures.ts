/** What the load program printed -> the figures of one run; figures of rounds -> medians. */
import type { Unit } from './workload.ts'

/** [nanoseconds, how many]. */
export type Histogram = readonly (readonly [number, number])[]

interface Watched {
  readonly cpu_ns: number
  readonly switches: number
  readonly rss_kb: number
  readonly low_rss_kb: number
}

/** One JSON object of bench/native/load.c. */
export interface LoadReport {
  readonly seconds: number
  readonly requests: number
  readonly errors: number
  readonly bytes: number
  readonly client_cpu_ns: number
  readonly max_ns: number
  readonly watched: Readonly<Record<'contender' | 'engine', Watched>>
  /** Connections that each process of the contender has at the end, its first process first; empty where there is but one. */
  readonly served: readonly number[]
  readonly histogram: Histogram
}

/** Times of latencies and CPU are microseconds; a figure that a workload does not have is left out. */
export interface Figures {
  readonly errors: number
  readonly perSecond?: number
  readonly gbPerSecond?: number
  readonly cpuUsPerRequest?: number
  readonly cpuSecondsPerGb?: number
  readonly kbPerStream?: number
  readonly switchesPerRequest?: number
  /** Of all connections, what the worker with the fewest has; where there are several workers. */
  readonly fewestPercent?: number
  readonly p50?: number
  readonly p90?: number
  readonly p99?: number
  readonly p999?: number
  readonly max?: number
  /** Of its one core. */
  readonly busyPercent: number
  readonly rssMb: number
  readonly clientCpuSeconds: number
  readonly engineCpuSeconds: number
}

export type FigureName = keyof Figures

/** @param share 0.99 for p99; nanoseconds */
export const percentile = (histogram: Histogram, share: number): number => {
  const total = histogram.reduce((sum, [, count]) => sum + count, 0)
  let seen = 0
  for (const [ns, count] of histogram) {
    seen += count
    if (seen >= share * total) return ns
  }
  return 0
}

export const merged = (histograms: readonly Histogram[]): Histogram => {
  const counts = new Map<number, number>()
  for (const histogram of histograms)
    for (const [ns, count] of histogram) counts.set(ns, (counts.get(ns) ?? 0) + count)
  return [...counts].sort(([a], [b]) => a - b)
}

const GB = 1e9

const latencies = ({ histogram, max_ns }: LoadReport) => ({
  p50: percentile(histogram, 0.5) / 1000,
  p90: percentile(histogram, 0.9) / 1000,
  p99: percentile(histogram, 0.99) / 1000,
  p999: percentile(histogram, 0.999) / 1000,
  max: max_ns / 1000,
})

/** The first process hands connections out, and serves none. */
const sharing = ([, ...workers]: readonly number[]) => {
  const all = workers.reduce((sum, count) => sum + count, 0)
  return workers.length < 2 || all === 0
    ? {}
    : { fewestPercent: (Math.min(...workers) / all) * 100 }
}

const inUnit = (report: LoadReport, unit: Unit, streams: number) => {
  const { seconds, requests, bytes, watched } = report
  const { cpu_ns, switches, rss_kb, low_rss_kb } = watched.contender
  if (unit === 'GB')
    return {
      gbPerSecond: bytes / GB / seconds,
      cpuSecondsPerGb: cpu_ns / 1e9 / (bytes / GB),
    }
  // The first sixteenth has paid for what one process needs anyway
  if (unit === 'stream') return { kbPerStream: (rss_kb - low_rss_kb) / (streams - streams / 16) }
  return {
    perSecond: requests / seconds,
    cpuUsPerRequest: cpu_ns / 1000 / requests,
    switchesPerRequest: switches / requests,
    ...sharing(report.served),
    ...latencies(report),
  }
}

export const figuresOf = (report: LoadReport, unit: Unit, streams: number): Figures => ({
  errors: report.errors,
  ...inUnit(report, unit, streams),
  busyPercent: report.watched.contender.cpu_ns / 1e7 / report.seconds,
  rssMb: report.watched.contender.rss_kb / 1024,
  clientCpuSeconds: report.client_cpu_ns / 1e9,
  engineCpuSeconds: report.watched.engine.cpu_ns / 1e9,
})

/** Undefined for an empty list. */
export const median = (values: readonly number[]): number | undefined => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle]
  const [low, high] = [sorted[middle - 1], sorted[middle]]
  return low === undefined || high === undefined ? undefined : (low + high) / 2
}

export const medianOf = (runs: readonly Figures[], name: FigureName): number | undefined =>
  median(runs.flatMap((run) => run[name] ?? []))

/** Who does less than this part of a fixed rate drowns in it: to measure it once is enough. */
const DROWNS = 0.75

/** Why a contender is not to be asked again at a rate, if it is not. @param rate requests a second, where it is fixed */
export const drowned = (
  { perSecond = 0 }: Figures,
  rate: number | undefined,
): string | undefined =>
  rate === undefined || perSecond >= DROWNS * rate
    ? undefined
    : `it does ${perSecond.toFixed(0)} of ${rate.toFixed(0)} requests/s`
