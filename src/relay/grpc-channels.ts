/** HTTP/2 connections to engines for judged calls: one a client connection and engine, so that no client waits for another's windows. */
import type { ClientHttp2Session } from 'node:http2'
import type { Connection } from '../exchange.ts'
import { type GrpcTarget, openSession } from '../upstream/h2.ts'

/** By engine pool, or by buildkitd address. */
type Channels = Map<object, Promise<ClientHttp2Session>>

const byConnection = new WeakMap<Connection, Channels>()

/** @throws Failure when the engine cannot be had; the next call tries again */
export const channelFor = (
  connection: Connection,
  target: GrpcTarget,
): Promise<ClientHttp2Session> => {
  let channels = byConnection.get(connection)
  if (channels === undefined) {
    channels = new Map()
    byConnection.set(connection, channels)
  }
  const key = target.kind === 'engine' ? target.pool : target.address
  return channels.get(key) ?? open(connection, channels, key, target)
}

const open = (
  connection: Connection,
  channels: Channels,
  key: object,
  target: GrpcTarget,
): Promise<ClientHttp2Session> => {
  const opening = openSession(target)
  channels.set(key, opening)
  const forget = (): void => void channels.delete(key)
  let opened: ClientHttp2Session | undefined
  // noted before it is there: a client may leave while the engine is still thinking
  connection.whenGone.push(() => opened?.destroy())
  opening.then((session) => {
    session.once('close', forget).once('goaway', forget)
    opened = session
    // node reads what came with the upgrade in its next tick, and throws where the session has gone by then
    if (connection.isGone) setImmediate(() => session.destroy())
  }, forget)
  return opening
}
