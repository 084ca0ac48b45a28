/** HTTP/2 to an engine's BuildKit: by upgrade on POST /grpc, so that nothing but gRPC is ever served on it. */
import { type ClientHttp2Session, connect } from 'node:http2'
import { Failure } from '../errors.ts'
import { release } from '../transport/adopt.ts'
import type { Conduit } from '../transport/conduit.ts'
import type { ResponseHead } from '../wire/head.ts'
import type { EngineAddress } from './address.ts'
import { dial } from './dial.ts'
import type { UpstreamConnection } from './h1.ts'
import { watchOver } from './h2-heartbeat.ts'
import type { Pool } from './pool.ts'

/** Not the engine's own HTTP/2 (29.2 and later): that serves the whole API beside gRPC, on the same connection. */
const upgradeOf = (host: string): string =>
  `POST /grpc HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n`

/** What an engine may send before it is read. Builds move whole images through one stream. */
const STREAM_WINDOW_BYTES = 1 << 20
const CONNECTION_WINDOW_BYTES = 4 << 20

/**
 * Opens a connection to an engine that has become HTTP/2, with the engine as its server; its bytes wait.
 * @throws Failure ENGINE_UNREACHABLE, ENGINE_TIMEOUT, ENGINE_GONE or MALFORMED_RESPONSE
 */
export const upgradeToGrpc = async (pool: Pool): Promise<UpstreamConnection> => {
  const connection = await pool.open()
  try {
    const { status, upgrade } = await ask(connection, upgradeOf(pool.host))
    if (status === 101 && upgrade === 'h2c') return connection
    throw new Failure('MALFORMED_RESPONSE', `it answered ${status} to the upgrade of /grpc`)
  } catch (error) {
    pool.release(connection, false)
    throw error
  }
}

/** An engine answers an upgrade at once, or is not well; clients such as buildx wait 20 s. */
const UPGRADE_TIMEOUT_MS = 20_000

const ask = (connection: UpstreamConnection, head: string): Promise<ResponseHead> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Failure('ENGINE_TIMEOUT')), UPGRADE_TIMEOUT_MS)
    connection.ask(head, 'POST', {
      answered(head, rest) {
        clearTimeout(timer)
        connection.conduit.hold()
        connection.conduit.unread(rest)
        resolve(head)
      },
      unanswered(failure) {
        clearTimeout(timer)
        reject(failure)
      },
    })
  })

/** Where gRPC goes: an engine, which is asked for an upgrade, or a buildkitd, which speaks nothing else. */
export type GrpcTarget =
  | { readonly kind: 'engine'; readonly pool: Pool }
  | { readonly kind: 'buildkitd'; readonly address: EngineAddress }

/**
 * A session of node:http2 with what serves the builds.
 * @throws Failure as `upgradeToGrpc`
 */
export const openSession = async (target: GrpcTarget): Promise<ClientHttp2Session> => {
  if (target.kind === 'buildkitd') return sessionOver(await dial(target.address))
  const { pool } = target
  const connection = await upgradeToGrpc(pool)
  const session = sessionOver(connection.conduit)
  session.once('close', () => pool.release(connection, false))
  return session
}

const sessionOver = (conduit: Conduit): ClientHttp2Session => {
  const socket = release(conduit)
  // HTTP/2 knows no half-closed connections: node:http2 would wait for ever on one
  socket.allowHalfOpen = false
  const session = connect('http://localhost', {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
  })
  // what breaks a session breaks its streams, and they are watched
  session.on('error', () => {})
  watchOver(session)
  session.once('connect', () => {
    // an engine may have gone by the time that node says so
    if (!session.destroyed) session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
  })
  return session
}
