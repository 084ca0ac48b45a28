/** Keeps V8's young generation as small as it starts: a collection that finds nothing takes as long as there is room to search. */
import {
  constants,
  type NodeGCPerformanceDetail,
  type PerformanceEntry,
  PerformanceObserver,
} from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'

type Collection = PerformanceEntry & { readonly detail: NodeGCPerformanceDetail }

/** Every so often, and for so long: to be told of a collection costs more than many of them do. */
const LOOK_EVERY_MS = 1000
const LOOK_FOR_MS = 50
/** The share of the time that collections may take before there is to be more room: small requests stay below it. */
const ENOUGH = 0.04

/** By how much V8 makes room when enough has survived since it last did; it reads this each time (SemiSpaceNewSpace::Grow). */
const growBy = (factor: 1 | 2): void => setFlagsFromString(`--semi-space-growth-factor=${factor}`)

/**
 * From here on it grows only while its collections take more than 4 % of the time, as where large bodies are judged or
 * hundreds of requests are under way: what lives on is copied each time then, and more room lets more of it die first.
 * To be called before the program is loaded, all of which survives and would make it grow.
 */
export const keepYoungGenerationSmall = (): void => {
  growBy(1)
  // So little survives that other threads only have to be waited for
  setFlagsFromString('--no-parallel-scavenge')
  let durations: number[] = []
  const observer = new PerformanceObserver((list) => {
    for (const { duration, detail } of list.getEntries() as Collection[])
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) durations.push(duration)
  })
  const look = () => {
    durations = []
    observer.observe({ entryTypes: ['gc'] })
    setTimeout(judge, LOOK_FOR_MS).unref()
  }
  const judge = () => {
    observer.disconnect()
    growBy(spentMs(durations) / LOOK_FOR_MS > ENOUGH ? 2 : 1)
    setTimeout(look, LOOK_EVERY_MS).unref()
  }
  setTimeout(look, LOOK_EVERY_MS).unref()
}

/** By the median, because one in which the machine had something else to do takes as long as thirty others. */
const spentMs = (durations: readonly number[]): number => {
  const { length } = durations
  return length * (durations.toSorted((a, b) => a - b)[length >> 1] ?? 0)
}
