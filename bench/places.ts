/** Where things are: the project, what the bench builds, and what it finds out. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of package.json, whether this runs from `bench/` or from `dist/bench/`. */
const rootAbove = (folder: string): string =>
  existsSync(join(folder, 'package.json')) ? folder : rootAbove(dirname(folder))

export const ROOT = rootAbove(dirname(fileURLToPath(import.meta.url)))
export const SOURCES = join(ROOT, 'bench')
/** Compiled TypeScript of the bench itself. */
export const COMPILED = join(ROOT, 'dist/bench')
export const NATIVE = join(ROOT, 'dist/bench/native')
/** Results of full runs, from which the page is made; quick ones are kept apart. */
export const RESULTS = join(SOURCES, 'results')
export const QUICK_RESULTS = join(ROOT, 'dist/bench/quick')
