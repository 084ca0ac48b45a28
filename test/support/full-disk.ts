/** A process that fills the disk below an LMDB store, writes, makes room and writes again; it says what came of it. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openLmdb } from '../../src/store/lmdb.ts'
import type { Store } from '../../src/store/store.ts'

const MORE_THAN_THERE_IS = Buffer.alloc(4_000_000)
const VALUE = Buffer.alloc(20_000, 'v')

const fill = (path: string): void => {
  try {
    writeFileSync(path, MORE_THAN_THERE_IS)
  } catch {
    // what there was is taken now
  }
}

/** Several in one turn, as requests come, and one behind them. */
const write = async (store: Store, prefix: string): Promise<string[]> => {
  const results: string[] = []
  const put = async (key: string): Promise<void> => {
    await store.put(key, VALUE).then(
      () => results.push('kept'),
      (error) => results.push(`${error.message}: ${error.cause?.message}`),
    )
  }
  await Promise.all([0, 1, 2].map((n) => put(`${prefix}/${n}`)))
  await put(`${prefix}/3`)
  return results
}

const [folder = ''] = process.argv.slice(2)
const ballast = join(folder, 'ballast')
const store = await openLmdb(join(folder, 'store'))
await store.put('before', VALUE)
fill(ballast)
const whileFull = await write(store, 'full')
rmSync(ballast)
const after = await write(store, 'after')
const before = (await store.get('before'))?.value.length
const lost = (await store.get('full/3')) === undefined
await store.close()
process.stdout.write(JSON.stringify({ whileFull, after, before, lost }))
