/** Times one function in a process of its own, so that no other code has taught the JIT anything about it. */

export interface MicroFigures {
  readonly nanoseconds: number
  /** Heap bytes a call. */
  readonly bytes: number
}

/** Fifty samples of at least this each: short beside a scheduler's slice, long beside the clock. */
const SAMPLE_MS = 4
const SAMPLES = 50
const WARM_MS = 300
/** Few enough that no collection comes between. */
const HEAP_CALLS = 200
const HEAP_SAMPLES = 25

/** Whatever `work` returns is kept alive, so that it is not optimised away. */
let kept: unknown

const repeat = (work: () => unknown, times: number): number => {
  const started = performance.now()
  for (let i = 0; i < times; i++) kept = work()
  return performance.now() - started
}

const middle = (values: number[]): number =>
  values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const heapOf = (work: () => unknown): number => {
  const before = process.memoryUsage().heapUsed
  repeat(work, HEAP_CALLS)
  return (process.memoryUsage().heapUsed - before) / HEAP_CALLS
}

/** Prints the figures of `work` for bench/micro.ts. Call it once, at the end of a file. */
export const time = (work: () => unknown): void => {
  let calls = 1
  for (let ms = 0; ms < WARM_MS; ms += repeat(work, calls)) if (calls < 100_000) calls *= 2
  const perMs = calls / repeat(work, calls)
  const times = Math.max(1, Math.round(perMs * SAMPLE_MS))
  const nanoseconds = middle(
    Array.from({ length: SAMPLES }, () => (repeat(work, times) / times) * 1e6),
  )
  const idle = middle(Array.from({ length: HEAP_SAMPLES }, () => heapOf(() => undefined)))
  const bytes = middle(Array.from({ length: HEAP_SAMPLES }, () => heapOf(work))) - idle
  const figures: MicroFigures = { nanoseconds, bytes: Math.max(0, bytes) }
  process.stdout.write(JSON.stringify(figures))
  if (kept === figures) throw new Error('not reached')
}
