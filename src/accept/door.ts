/** A door: an address that is listened on, whoever serves the connections that come in by it. */
import { lstatSync, type Stats, statSync, unlinkSync } from 'node:fs'
import { createServer, connect as probe, type Server } from 'node:net'
import { dirname } from 'node:path'
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

/** The system's word -> what happened and what to do. */
const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there; stop that one, or choose another address',
  EADDRNOTAVAIL: 'this machine has no such address',
  EACCES: 'this user may not listen there; choose another address, or run this as one who may',
  ENOENT: 'its folder does not exist; make it first',
  ENOTFOUND: 'this name is not known here',
}

/** An address that cannot be listened on: which, why, and what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  /** The system's word for it, where it was the system's. */
  readonly code: string | undefined

  constructor(url: string, cause: NodeJS.ErrnoException) {
    super(`listen: ${url}: ${REASONS[cause.code ?? ''] ?? cause.message}`, { cause })
    this.code = cause.code
  }
}

/**
 * Starts to listen.
 * @param enter gets every connection, and by which door it came
 * @throws ListenError
 */
const openDoor = async (
  address: ListenAddress,
  enter: (accepted: Accepted, url: string) => void,
): Promise<Door> => {
  try {
    if (address.kind === 'unix') await removeStale(address.path)
    const server = await listenAt(address)
    const bound = server.address()
    const url =
      bound === null || typeof bound === 'string'
        ? address.url
        : `${address.kind}://${printable(bound.address)}:${bound.port}`
    takeAccepted(server, KEEP_ALIVE_DELAY_MS, (accepted) => enter(accepted, url))
    return { url, close: () => server.close() }
  } catch (error) {
    throw new ListenError(address.url, error as Error)
  }
}

/**
 * Starts to listen at all of them, or at none.
 * @param enter gets every connection, and by which door it came
 * @throws ListenError
 */
export const openDoors = async (
  addresses: readonly ListenAddress[],
  enter: (accepted: Accepted, url: string) => void,
): Promise<Door[]> => {
  const doors: Door[] = []
  try {
    for (const address of addresses) doors.push(await openDoor(address, enter))
    return doors
  } catch (error) {
    // a socket's file outlives the process that leaves it open
    for (const door of doors) door.close()
    throw error
  }
}

const listenAt = (address: ListenAddress): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
    server.on('error', reject)
    server.listen(
      address.kind === 'unix'
        ? { path: address.path, backlog: BACKLOG }
        : { ...address, backlog: BACKLOG },
      () => resolve(server),
    )
  })

const printable = (host: string): string => (host.includes(':') ? `[${host}]` : host)

/** Removes a socket that nobody listens on any more; leaves one that answers, and all that is no socket. */
const removeStale = async (path: string): Promise<void> => {
  // Node calls it EACCES when it listens in a folder that is not there
  statSync(dirname(path))
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket())
    throw new Error(
      `${kindOf(found)} is there, and berth removes nothing but sockets; move it away, or choose another path`,
    )
  if (await isStale(path)) unlinkSync(path)
}

const kindOf = (found: Stats): string => {
  if (found.isDirectory()) return 'a folder'
  if (found.isSymbolicLink()) return 'a symbolic link'
  return 'a file'
}

/** connect(2) refuses files of any other kind in the same words: this is for sockets only. */
const isStale = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = probe(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED'))
  })
