/** The memory that reads go through: one scratch for everybody, a few large buffers on loan, and a budget for what is stuck. */

/** What one read may bring at most while a stream is not known to be fast. */
export const SCRATCH_BYTES = 65536
/** What one read may bring on a fast stream: fewer system calls and no copy. */
const LOAN_BYTES = 1 << 20
/** How many streams may be fast at a time; the others read through the scratch, which costs a copy. */
const LOANS = 8
/** How many returned loans are kept for the next stream. */
const SPARE_LOANS = 2
/** Bytes copied for readers that do not read, over the whole process, before every further read is cut to `CRUMB_BYTES`. */
const STUCK_BUDGET = 12 << 20
const CRUMB_BYTES = 4096

/**
 * A read into the scratch is copied before anybody keeps it, because every idle socket of the process reads into
 * the same memory. A loan belongs to one stream until its write has been taken by the kernel.
 */
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
const crumb = scratch.subarray(0, CRUMB_BYTES)
const spare: Buffer[] = []
let lent = 0
let stuck = 0

/** The shared buffer for the next read: small while too much is stuck, so that even the slowest readers pin a constant. */
export const sharedBuffer = (): Buffer => (stuck < STUCK_BUDGET ? scratch : crumb)

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

/** The most that is put together in one piece. */
export const ASSEMBLED_BYTES = 16384

let bench = Buffer.allocUnsafeSlow(ASSEMBLED_BYTES)

/**
 * Latin1 text and bytes in one piece, good until the next call: it must be written at once.
 * @throws RangeError where both are longer than ASSEMBLED_BYTES
 */
export const assemble = (text: string, bytes: Buffer): Buffer => {
  const end = text.length + bytes.length
  if (end > ASSEMBLED_BYTES) throw new RangeError(`${end} bytes do not fit into one piece`)
  bench.write(text, 'latin1')
  bytes.copy(bench, text.length)
  return bench.subarray(0, end)
}

/** What was put together last is still needed: the next piece gets other memory. */
export const keepAssembled = (): void => {
  bench = Buffer.allocUnsafeSlow(ASSEMBLED_BYTES)
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
