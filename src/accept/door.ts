/** A door: an address that is listened on, whoever serves the connections that come in by it. */
import { unlinkSync } from 'node:fs'
import { createServer, connect as probe } from 'node:net'
import { KEEP_ALIVE_DELAY_MS } from '../transport/conduit.ts'
import { type Accepted, takeAccepted } from '../transport/handle.ts'
import type { ListenAddress } from './address.ts'

export interface Door {
  /** The address with the port that the system chose, if it was asked to. */
  readonly url: string
  /** Lets nobody in any more; those who are in stay. */
  close(): void
}

/** How many connections wait in the kernel while this process is busy. */
const BACKLOG = 511

/**
 * Starts to listen.
 * @param enter gets every connection, and by which door it came
 * @throws what the system says, for example EADDRINUSE
 */
export const openDoor = async (
  address: ListenAddress,
  enter: (accepted: Accepted, url: string) => void,
): Promise<Door> => {
  if (address.kind === 'unix') await removeStale(address.path)
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(
      address.kind === 'unix'
        ? { path: address.path, backlog: BACKLOG }
        : { ...address, backlog: BACKLOG },
      resolve,
    )
  })
  const bound = server.address()
  const url =
    bound === null || typeof bound === 'string'
      ? address.url
      : `${address.kind}://${printable(bound.address)}:${bound.port}`
  takeAccepted(server, KEEP_ALIVE_DELAY_MS, (accepted) => enter(accepted, url))
  return { url, close: () => server.close() }
}

const printable = (host: string): string => (host.includes(':') ? `[${host}]` : host)

/** Removes a socket file that nobody listens on any more; leaves one that answers. */
const removeStale = (path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = probe(path)
    socket.once('connect', () => {
      socket.destroy()
      reject(
        Object.assign(new Error(`${path}: another process listens there`), { code: 'EADDRINUSE' }),
      )
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') unlinkSync(path)
      resolve()
    })
  })
