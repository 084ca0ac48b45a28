/** The memory that reads go through: one scratch for everybody, a few large buffers on loan, and a budget for what is stuck. */

/** What one read may bring while nothing is known of a stream, or its reader was slow: what a stall pins as a rule. */
export const FIRST_BYTES = 16384
/** What one read may bring once it has filled that. */
export const SCRATCH_BYTES = 65536
/**
 * What one read may bring on a fast stream, without a copy: as much as a socket holds with Linux's usual tcp_rmem. A
 * sender whose window opens at once is woken less often: an upload costs 0.3 s of CPU a GB, and 0.55 s with 1 MiB.
 */
const LOAN_BYTES = 4 << 20
/** How many streams may be fast at a time; the others read through the scratch, which costs a copy. */
const LOANS = 8
/** How many returned loans are kept for the next stream. */
const SPARE_LOANS = 2
/** How many pieces of memory that were needed longer are kept for the next stream that is slow for a moment. */
const SPARE_PIECES = 16
/** Bytes copied for readers that do not read, over the whole process, before every further read is cut to `CRUMB_BYTES`. */
const STUCK_BUDGET = 8 << 20
const CRUMB_BYTES = 4096

/** Memory that stays, and is written over and over. */
const reused = new WeakSet<ArrayBufferLike>()

export const reusable = (size: number): Buffer => {
  const memory = Buffer.allocUnsafeSlow(size)
  reused.add(memory.buffer)
  return memory
}

/**
 * A read into the scratch is copied before anybody keeps it, because every idle socket of the process reads into
 * the same memory. A loan belongs to one stream until its write has been taken by the kernel.
 */
const scratch = reusable(SCRATCH_BYTES)
const first = scratch.subarray(0, FIRST_BYTES)
const crumb = scratch.subarray(0, CRUMB_BYTES)
const spare: Buffer[] = []
let lent = 0
let stuck = 0

/** True while so much waits for slow readers that nobody may keep more than one read. */
export const isTight = (): boolean => stuck >= STUCK_BUDGET

/** The shared buffer for the next read: small while too much is stuck, so that even the slowest readers pin a constant. */
export const sharedBuffer = (isBrisk: boolean): Buffer => {
  if (isTight()) return crumb
  return isBrisk ? scratch : first
}

/** A buffer of one's own, or undefined when all are out. */
export const borrow = (): Buffer | undefined => {
  if (lent >= LOANS) return undefined
  lent++
  return spare.pop() ?? Buffer.allocUnsafeSlow(LOAN_BYTES)
}

export const giveBack = (loan: Buffer): void => {
  lent--
  if (spare.length < SPARE_LOANS) spare.push(loan)
}

/**
 * A part of some memory, remembered: what comes again and again is of one length, as a rule, and a view of its own for
 * each would be most of its garbage. Of memory that is used again only: any other it would keep from going for nothing.
 */
export class View {
  #memory: Buffer | undefined
  #from = 0
  #part: Buffer | undefined

  of(memory: Buffer, from: number, to: number): Buffer {
    const known = this.#part
    if (memory === this.#memory && from === this.#from && known?.length === to - from) return known
    const part = memory.subarray(from, to)
    if (reused.has(memory.buffer)) {
      this.#memory = memory
      this.#from = from
      this.#part = part
    }
    return part
  }
}

/**
 * Memory in which lent bytes are copied to be written at once. The kernel nearly always takes such a piece whole; then
 * the same memory serves the next one, on whatever stream. A copy a read would be garbage by the megabyte.
 */
export class Bench {
  readonly size: number
  #current: Buffer
  readonly #spare: Buffer[] = []
  readonly #made = new View()

  constructor(size: number) {
    this.size = size
    this.#current = reusable(size)
  }

  /** Good until the next call. */
  copy(bytes: Buffer): Buffer {
    this.#current.set(bytes)
    return this.#made.of(this.#current, 0, bytes.length)
  }

  /** What was made last is still needed: the next piece gets other memory. */
  keep(): Buffer {
    const kept = this.#current
    this.#current = this.#spare.pop() ?? reusable(this.size)
    return kept
  }

  giveBack(kept: Buffer): void {
    if (this.#spare.length < SPARE_PIECES) this.#spare.push(kept)
  }
}

/** Three sizes, so that what is kept for a slow reader is not much larger than what he was sent. */
const BENCHES = [CRUMB_BYTES, FIRST_BYTES, SCRATCH_BYTES].map((size) => new Bench(size))

/** The smallest bench for a piece of so many bytes; undefined for more than one read brings. */
export const benchFor = (bytes: number): Bench | undefined => {
  for (const bench of BENCHES) if (bytes <= bench.size) return bench
  return undefined
}

/** Counts bytes that wait for a reader; `pinned(-n)` when they have gone. */
export const pinned = (bytes: number): void => {
  stuck += bytes
}

/** For operators: how many bytes wait for readers, and how many large buffers are out. */
export const memoryInUse = (): { readonly stuck: number; readonly lent: number } => ({
  stuck,
  lent,
})
