/** One record of a store with 1,000 tenants. */
import { KEY } from '../../src/tenant/records.ts'
import { fillStore, seal } from '../filled-store.ts'
import { timeAwaiting } from './time.ts'

const { store, keys, close } = await fillStore(1000)
const records = keys.map((key) => KEY + seal.hashKey(key))
let turn = 0

await timeAwaiting(() => {
  turn = (turn + 7) % records.length
  return store.get(records[turn] ?? '')
})
await close()
