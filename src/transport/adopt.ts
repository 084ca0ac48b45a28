/** Sockets as conduits: accepted ones, opened ones, and TLS. */
import type { Http2Stream, ServerHttp2Stream } from 'node:http2'
import { type NetConnectOpts, connect as netConnect, type Socket } from 'node:net'
import { Conduit, KEEP_ALIVE_DELAY_MS, NOBODY, type ReadOptions } from './conduit.ts'
import { type Accepted, rebuild } from './handle.ts'

/** @param accepted just now, by a server with `pauseOnConnect` and `allowHalfOpen` */
export const adopt = (accepted: Accepted): Conduit =>
  new Conduit((onread) => {
    const rebuilt = rebuild(accepted, { onread })
    return rebuilt === undefined
      ? { socket: (accepted as Socket).resume(), readsIntoBuffers: false }
      : { socket: rebuilt, readsIntoBuffers: true }
  })

/** A socket that reads by its 'data' events, for every kind that ignores read buffers (TLS). */
export const adoptPlain = (socket: Socket): Conduit =>
  new Conduit(() => ({ socket, readsIntoBuffers: false }))

const isOfClient = (stream: Http2Stream): stream is ServerHttp2Stream => 'pushStream' in stream

/**
 * Node ends a stream that was reset with NO_ERROR as it ends a complete one.
 * @returns tells whether its peer has said END_STREAM before
 */
const noteEnd = (stream: Http2Stream): (() => boolean) => {
  const { push } = stream
  let isSaid = false
  stream.push = (piece, encoding) => {
    if (piece === null && !stream.closed) isSaid = true
    return push.call(stream, piece, encoding)
  }
  return () => isSaid
}

/**
 * A stream inside a connection (HTTP/2), which has of a socket what conduits need; it is not reset by `reset`, but
 * destroyed. Node ends one that was reset, or lost its connection, as if it were complete.
 */
export const adoptStream = (stream: Http2Stream): Conduit => {
  // an engine may say NO_ERROR too, to an upload it has had enough of, behind a complete answer
  const isWhole = isOfClient(stream) ? () => !stream.aborted : noteEnd(stream)
  const conduit = new Conduit(() => {
    // before the conduit hears of it
    stream.on('end', () => {
      const code = stream.rstCode ?? 0
      if (code === 0 && isWhole()) return
      const { receiver } = conduit
      conduit.receiver = NOBODY
      receiver.gone(conduit, new Error(`the stream was reset with code ${code}`))
    })
    return { socket: stream as unknown as Socket, readsIntoBuffers: false }
  })
  return conduit
}

/** False where node would throw at an answer: one was given, or the client has reset the stream, which may live on unread. */
export const isAnswerable = (stream: ServerHttp2Stream): boolean =>
  !stream.destroyed && !stream.closed && !stream.headersSent

/** Starts to connect; the conduit may be written to at once. */
export const open = (options: NetConnectOpts): Conduit =>
  new Conduit((onread: ReadOptions) => ({
    socket: netConnect({
      ...options,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
      onread,
    }),
    readsIntoBuffers: true,
  }))

/**
 * Takes the socket out of a conduit, for somebody who speaks for himself (node:http2, node:tls): an ordinary stream
 * again, in which what the conduit had read and not delivered comes first. Its end is still told to `onGone`.
 */
export const release = (conduit: Conduit): Socket => {
  const { socket, onGone } = conduit
  conduit.onGone = undefined
  const first = conduit.abandon()
  const plain = rebuild(socket, {}) ?? socket
  if (onGone !== undefined) plain.once('close', onGone)
  if (first !== undefined) plain.unshift(first)
  return plain
}
