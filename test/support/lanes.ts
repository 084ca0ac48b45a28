/** Work on many things, a few of them at once. */

/** Requests under way at once: as many as two cores can serve without waiting. */
const LANES = 6

export const eachOf = async <T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> => {
  const waiting = items.values()
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (const item of waiting) await work(item)
    }),
  )
}

/** How many hostile requests a test sends: many more when it has the night for it. */
export const many = (count: number): number => (process.env.BERTH_SOAK ? count * 5 : count)

/**
 * Of the generators of what is sent to real engines. A commit is not to fail for a body that no commit before it was
 * asked about, so that only a soak asks new questions; its seed, which it tells, repeats them.
 */
export const SEED = Number(
  process.env.BERTH_SEED ?? (process.env.BERTH_SOAK ? Date.now() % 1_000_000 : 1),
)
