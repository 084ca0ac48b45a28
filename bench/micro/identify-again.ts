/** Who asks with the same key as the request before: once a request. */
import { setTimeout as sleep } from 'node:timers/promises'
import { fillStore } from '../filled-store.ts'
import { askedWith, identifyWith } from './asked.ts'
import { time } from './time.ts'

const { roster, keys, close } = await fillStore(1000)
const identify = identifyWith(roster)
const asked = askedWith(keys[500] ?? '')
await identify(asked)
// the use of the key is still being written down
await sleep(100)

await time(() => identify(asked))
await close()
