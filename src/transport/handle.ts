/** What lies below a socket: the one file that touches `handle` and `_handle`, which are no public API. */
import { type Server, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** The part of libuv's stream that is used here, tried with Node 20 and 24; where it is missing, sockets are used as they are. */
interface Handle {
  /** Both return 0 or a negative error; what the kernel does not take at once is written later and told to `request`. */
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number
  writeLatin1String(request: WriteRequest, text: string): number
  useUserBuffer(buffer: Buffer): void
  close(): void
  /** Of TCP only. */
  setNoDelay?(isOn: boolean): number
  setKeepAlive?(isOn: boolean, delaySeconds: number): number
}

/** A connection that a server has accepted; a bare handle where no socket was made of it. */
export type Accepted = Socket | Handle

type WithHandle = Socket & { _handle: Handle | null }

/** True for sockets straight on a handle. Without one, reads cost a buffer each, and writes a request each. */
const hasHandle = (socket: Socket): socket is WithHandle =>
  !(socket instanceof TLSSocket) &&
  typeof (socket as { _handle?: { useUserBuffer?: unknown } | null })._handle?.useUserBuffer ===
    'function'

/** A socket of one's own make around a handle. */
const socketAround = (handle: Handle, options: object): Socket =>
  new Socket({ handle, allowHalfOpen: true, ...options } as ConstructorParameters<typeof Socket>[0])

/**
 * A socket of another make around the handle of this one, or undefined where there is none. The emptied one is
 * destroyed, or its Server would count it for ever.
 */
export const rebuild = (accepted: Accepted, options: object): Socket | undefined => {
  if (!(accepted instanceof Socket)) return socketAround(accepted, options)
  if (!hasHandle(accepted)) return undefined
  const handle = accepted._handle
  accepted._handle = null
  accepted.destroy()
  return handle === null ? undefined : socketAround(handle, options)
}

/** Closes what nobody has taken, or what another process has. */
export const discard = (accepted: Accepted): void => {
  if (accepted instanceof Socket) accepted.destroy()
  else accepted.close()
}

const SECOND_MS = 1000
type WithAcceptor = Server & {
  _handle?: { onconnection?: (status: number, handle: Handle | undefined) => void } | null
}

/**
 * Every connection of a server goes to `take` instead of its 'connection' event, without a socket having been made of
 * it that somebody with other ideas of reading would have to throw away.
 * @param server listening, with `pauseOnConnect`
 * @param keepAliveDelayMs of silence before TCP asks whether the peer is still there
 */
export const takeAccepted = (
  server: Server,
  keepAliveDelayMs: number,
  take: (accepted: Accepted) => void,
): void => {
  const listening = (server as WithAcceptor)._handle
  if (typeof listening?.onconnection !== 'function') {
    server.on('connection', (socket) => {
      socket.setNoDelay(true).setKeepAlive(true, keepAliveDelayMs)
      take(socket)
    })
    return
  }
  listening.onconnection = (status, handle) => {
    // out of descriptors, or the peer is gone again: what still waits, waits in the kernel
    if (status !== 0 || handle === undefined) return
    handle.setNoDelay?.(true)
    handle.setKeepAlive?.(true, keepAliveDelayMs / SECOND_MS)
    take(handle)
  }
}

/** Hears when a write that took longer is over. */
export interface Writer {
  /** @param error a libuv error code, or 0 */
  written(error: number): void
}

/** What node:net calls a WriteWrap: it stands for one write that libuv has not ended. */
interface WriteRequest {
  /** Above 0 while libuv has the request. It may be done with all bytes of a write and call back later all the same. */
  getAsyncId(): number
  oncomplete: (this: WriteRequest, status: number) => void
  writer: Writer | undefined
  /** Not to be collected before libuv has read it. */
  piece: string | Uint8Array | undefined
}

/** The class of the requests that node:net makes, learnt from one that it makes; undefined where it makes none. */
const learnRequestClass = (): (new () => WriteRequest) | undefined => {
  let request: WriteRequest | undefined
  const handle = {
    writeLatin1String: (made: WriteRequest) => {
      request = made
      return 0
    },
    readStart: () => 0,
    close: () => undefined,
  }
  const socket = new Socket({ handle } as ConstructorParameters<typeof Socket>[0])
  socket.on('error', () => undefined).write('?', 'latin1')
  socket.destroy()
  return request?.constructor as (new () => WriteRequest) | undefined
}
const Request = learnRequestClass()

function onComplete(this: WriteRequest, status: number): void {
  this.writer?.written(status)
}

const newRequest = (): WriteRequest => {
  if (Request === undefined) throw new TypeError('node:net makes no requests')
  const request = new Request()
  request.oncomplete = onComplete
  return request
}

/** Serves every write until one takes longer: what the kernel takes at once leaves no trace in it. */
let spare: WriteRequest | undefined

/** What became of a write; otherwise it is a libuv error code, below 0. */
export const TAKEN = 0
export const QUEUED = 1

/** Whether `write` can be used on this socket, which need not be connected yet. */
export const canWrite = (socket: Socket): boolean => Request !== undefined && hasHandle(socket)

/** False once the socket is destroyed. */
export const isOpen = (socket: Socket): boolean => (socket as WithHandle)._handle !== null

/**
 * Writes past the socket's stream, whose own costs a request, a callback and a tick even for what the kernel takes at
 * once. It does not count in `writableLength`; the socket's half-close and end wait for it as for any other.
 *
 * @param socket connected, with nothing queued in its stream
 * @param piece text is latin1
 * @param writer told of a write that was QUEUED; its bytes must stay as they are until then
 */
export const write = (socket: Socket, piece: string | Uint8Array, writer: Writer): number => {
  const handle = (socket as WithHandle)._handle as Handle
  spare ??= newRequest()
  const request = spare
  const error =
    typeof piece === 'string'
      ? handle.writeLatin1String(request, piece)
      : handle.writeBuffer(request, piece)
  if (error === 0 && request.getAsyncId() < 0) return TAKEN
  spare = undefined
  if (error !== 0) return error
  request.writer = writer
  request.piece = piece
  return QUEUED
}
