/** HTTP/2 connections to engines for judged calls: one a client connection and engine, so that no client waits for another's windows. */
import type { ClientHttp2Session } from 'node:http2'
import type { Connection } from '../exchange.ts'
import { openSession } from '../upstream/h2.ts'
import type { Pool } from '../upstream/pool.ts'

type Channels = Map<Pool, Promise<ClientHttp2Session>>

const byConnection = new WeakMap<Connection, Channels>()

/** @throws Failure when the engine cannot be had; the next call tries again */
export const channelFor = (connection: Connection, pool: Pool): Promise<ClientHttp2Session> => {
  let channels = byConnection.get(connection)
  if (channels === undefined) {
    channels = new Map()
    byConnection.set(connection, channels)
  }
  return channels.get(pool) ?? open(connection, channels, pool)
}

const open = (
  connection: Connection,
  channels: Channels,
  pool: Pool,
): Promise<ClientHttp2Session> => {
  const opening = openSession(pool)
  channels.set(pool, opening)
  const forget = (): void => void channels.delete(pool)
  opening.then((session) => {
    session.once('close', forget).once('goaway', forget)
    connection.whenGone.push(() => session.destroy())
  }, forget)
  return opening
}
