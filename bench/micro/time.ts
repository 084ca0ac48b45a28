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

/** Calls something so many times; milliseconds. */
type Repeat = (work: () => unknown, times: number) => number | Promise<number>

const repeat: Repeat = (work, times) => {
  const started = performance.now()
  for (let i = 0; i < times; i++) kept = work()
  return performance.now() - started
}

/** One call after the other is over. */
const repeatAwaiting: Repeat = async (work, times) => {
  const started = performance.now()
  for (let i = 0; i < times; i++) kept = await work()
  return performance.now() - started
}

const middle = (values: number[]): number =>
  values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const sampled = async (count: number, sample: () => Promise<number>): Promise<number> => {
  const values: number[] = []
  for (let i = 0; i < count; i++) values.push(await sample())
  return middle(values)
}

const heapOf = async (run: Repeat, work: () => unknown): Promise<number> => {
  const before = process.memoryUsage().heapUsed
  await run(work, HEAP_CALLS)
  return (process.memoryUsage().heapUsed - before) / HEAP_CALLS
}

const measure = async (run: Repeat, work: () => unknown): Promise<void> => {
  let calls = 1
  for (let ms = 0; ms < WARM_MS; ms += await run(work, calls)) if (calls < 100_000) calls *= 2
  const perMs = calls / (await run(work, calls))
  const times = Math.max(1, Math.round(perMs * SAMPLE_MS))
  const nanoseconds = await sampled(SAMPLES, async () => ((await run(work, times)) / times) * 1e6)
  const idle = await sampled(HEAP_SAMPLES, () => heapOf(run, () => undefined))
  const bytes = (await sampled(HEAP_SAMPLES, () => heapOf(run, work))) - idle
  const figures: MicroFigures = { nanoseconds, bytes: Math.max(0, bytes) }
  process.stdout.write(JSON.stringify(figures))
  if (kept === figures) throw new Error('not reached')
}

/** Prints the figures of `work` for bench/micro.ts; resolves when it is done with it. Call it once. */
export const time = (work: () => unknown): Promise<void> => measure(repeat, work)

/** As `time`, for work that has to be waited for. */
export const timeAwaiting = (work: () => unknown): Promise<void> => measure(repeatAwaiting, work)
