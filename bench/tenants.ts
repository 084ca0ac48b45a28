/** `npm run bench:tenants [-- COUNT]`: how long list and look-up take with 100,000 tenants in the embedded store. */
import { mintKey } from '../src/tenant/key.ts'
import { createRegistry } from '../src/tenant/registry.ts'
import { fillStore, onForged, seal } from './filled-store.ts'

const COUNT = Number(process.argv[2] ?? 100_000)
const LOOK_UPS = 500

const middle = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** Median of `times` runs, in ms. */
const timed = async (times: number, work: (n: number) => unknown): Promise<number> => {
  const taken: number[] = []
  for (let n = 0; n < times; n++) {
    const started = performance.now()
    await work(n)
    taken.push(performance.now() - started)
  }
  return middle(taken)
}

const { store, roster, keys, filledMs, close } = await fillStore(COUNT)
try {
  const registry = createRegistry({ store, seal, now: Date.now, onForged })
  const some = (n: number): string => keys[(n * 7919) % COUNT] ?? ''
  const figures = {
    [`fill with ${COUNT} tenants`]: filledMs,
    'list, first page of 100': await timed(20, () => registry.list()),
    'list, a page in the middle': await timed(20, () =>
      registry.list(`tenant-${String(COUNT >> 1).padStart(6, '0')}`),
    ),
    'show by name': await timed(LOOK_UPS, (n) =>
      registry.show(`tenant-${String((n * 7919) % COUNT).padStart(6, '0')}`),
    ),
    'key, first look-up': await timed(LOOK_UPS, (n) => roster.byKey(seal.hashKey(some(n)))),
    'key, known by heart': await timed(LOOK_UPS, (n) => roster.known(seal.hashKey(some(n)))),
    'unknown key': await timed(LOOK_UPS, () => roster.byKey(seal.hashKey(mintKey()))),
  }
  for (const [what, ms] of Object.entries(figures))
    console.log(`${what.padEnd(32)} ${ms.toFixed(3).padStart(12)} ms`)
} finally {
  await close()
}
