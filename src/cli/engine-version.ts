/** Asks an engine which version it is: the cheapest proof that one answers. */
import type { EngineAddress } from '../upstream/address.ts'
import { dial } from '../upstream/dial.ts'
import { UpstreamConnection } from '../upstream/h1.ts'

const PATIENCE_MS = 3000
const SERVER = /^Server: Docker\/(\S+)/m

/** `28.5.2`, or undefined when nothing answers as an engine does. */
export const askVersion = async (address: EngineAddress): Promise<string | undefined> => {
  try {
    const conduit = await dial(address, PATIENCE_MS)
    const timer = setTimeout(() => conduit.destroy(), PATIENCE_MS)
    const version = await new Promise<string | undefined>((resolve) => {
      new UpstreamConnection(conduit).ask('HEAD /_ping HTTP/1.1\r\nHost: berth\r\n\r\n', 'HEAD', {
        answered: (head) =>
          resolve(
            head.status === 200
              ? (SERVER.exec(head.fields)?.[1] ?? 'of unknown version')
              : undefined,
          ),
        unanswered: () => resolve(undefined),
      })
    })
    clearTimeout(timer)
    conduit.destroy()
    return version
  } catch {
    return undefined
  }
}
