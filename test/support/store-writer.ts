/** A process that writes to an LMDB store for ever and reports each write once it was acknowledged. */

import { setTimeout as sleep } from 'node:timers/promises'
import { openLmdb } from '../../src/store/lmdb.ts'

const [path = '', name = '', pauseMs = '0'] = process.argv.slice(2)
const store = await openLmdb(path)
for (let n = 0; ; n += 1) {
  const key = `${name}/${n}`
  await store.put(key, key.repeat(50))
  process.send?.(n)
  if (Number(pauseMs) > 0) await sleep(Number(pauseMs))
}
