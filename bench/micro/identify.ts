/** Who asks with a key that this process knows, on a connection that it does not: once a connection. */
import { fillStore } from '../filled-store.ts'
import { askedWith, identifyWith, newConnection } from './asked.ts'
import { timeAwaiting } from './time.ts'

const { roster, keys, close } = await fillStore(1000)
const identify = identifyWith(roster)
const { head } = askedWith(keys[500] ?? '')

await timeAwaiting(async () => {
  const connection = newConnection()
  const tenant = await identify({ connection, head })
  for (const tell of connection.whenGone) tell()
  return tenant
})
await close()
