/** The owner of a key whom this process does not know yet: a pointer, and a record whose seal is checked. */
import { fillStore, seal } from '../filled-store.ts'
import { timeAwaiting } from './time.ts'

// so few are remembered that each is forgotten before its next turn
const { roster, keys, close } = await fillStore(1000, { capacity: 16 })
const hashes = keys.map((key) => seal.hashKey(key))
let turn = 0

await timeAwaiting(async () => {
  turn = (turn + 7) % hashes.length
  const tenant = await roster.byKey(hashes[turn] ?? '')
  if (tenant === undefined) throw new Error('a key of nobody')
  return tenant
})
await close()
