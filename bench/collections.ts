/** What V8's collections of the young cost at half load, as it says itself. */
import { berthIn, withNodeFlags } from './contender.ts'
import { median } from './figures.ts'
import { load, standing } from './measure.ts'
import { ROOT } from './places.ts'
import { SCALES, type Workload } from './workload.ts'

export interface Collections {
  readonly workload: string
  /** Requests a second. */
  readonly rate: number
  readonly perSecond: number
  /** The median of their pauses, in milliseconds. */
  readonly pauseMs: number
  /** Of the time, in which requests wait. */
  readonly percent: number
}

/** `--trace-gc` -> the pauses of the young's collections, in milliseconds. */
export const pausesIn = (said: string): number[] =>
  [
    ...said.matchAll(/: Scavenge \S+ \(\S+\) -> \S+ \(\S+\) MB,(?: \w+: \d+ MB,)? ([\d.]+) \//g),
  ].map(([, ms]) => Number(ms))

/** @param rate requests a second, as the workload was measured with */
export const collectionsOf = (workload: Workload, rate: number): Promise<Collections> =>
  standing(withNodeFlags(berthIn(ROOT), '--trace-gc'), workload, async (place) => {
    const more = ['--rate', String(rate)]
    await load(place, workload, SCALES.named, more)
    const before = place.contender.said.length
    const started = performance.now()
    await load(place, { ...workload, warmups: 1 }, SCALES.named, more)
    const ms = performance.now() - started
    const pauses = pausesIn(place.contender.said.slice(before))
    return {
      workload: workload.name,
      rate,
      perSecond: (1000 * pauses.length) / ms,
      pauseMs: median(pauses) ?? 0,
      percent: (100 * pauses.reduce((sum, pause) => sum + pause, 0)) / ms,
    }
  })
