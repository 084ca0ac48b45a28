/** Connections of HTTP/2 to one engine, shared by the requests of one tenant: http2-wrapper's agent, on sockets of berth's own. */
import type { ClientHttp2Session, ClientHttp2Stream, Http2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { Agent } from 'http2-wrapper'
import { Failure } from '../errors.ts'
import { authorityOf, type TlsPeer } from './address.ts'
import { connectTls } from './dial-tls.ts'
import { requestFields } from './h2-head.ts'
import { watchOver } from './h2-heartbeat.ts'
import { UpstreamStream } from './h2-stream.ts'
import { lossOf } from './reasons.ts'

/** What the engine may send on a stream before it is read: what a reader that does not read costs. */
const STREAM_WINDOW_BYTES = 256 << 10
/** How long a peer that has chosen HTTP/2 may take to begin it. */
const SETTINGS_TIMEOUT_MS = 10_000

/** The peer has chosen HTTP/1.1: no failure, but what all who wait for a connection have to know. */
export class SpeaksHttp1 extends Error {
  #socket: TLSSocket | undefined

  constructor(socket: TLSSocket) {
    super('HTTP/1.1 was chosen')
    this.#socket = socket
  }

  /** The connection on which it was chosen, for the first who asks. */
  take(): TLSSocket | undefined {
    const socket = this.#socket
    this.#socket = undefined
    return socket
  }
}

/** The agent, with connections that are dialled as all others are. */
class Dialler extends Agent {
  readonly #peer: TlsPeer
  readonly #timeoutMs: number
  #settling: NodeJS.Timeout | undefined
  /** The last connection was to take no streams at all. */
  #takesNothing = false

  constructor(peer: TlsPeer, timeoutMs: number) {
    super()
    this.#peer = peer
    this.#timeoutMs = timeoutMs
    this.settings = { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES }
    this.on('session', (session: ClientHttp2Session) => {
      clearTimeout(this.#settling)
      watchOver(session)
      // the agent would open one connection after the other, for ever
      if (session.remoteSettings.maxConcurrentStreams !== 0) return
      this.#takesNothing = true
      session.close()
    })
  }

  /** Called by the agent, for one connection at a time. */
  override async createConnection(): Promise<TLSSocket> {
    if (this.#takesNothing) {
      this.#takesNothing = false
      throw new Failure('ENGINE_UNREACHABLE', 'it takes no requests (MAX_CONCURRENT_STREAMS is 0)')
    }
    const socket = await connectTls(this.#peer, ['h2', 'http/1.1'], this.#timeoutMs)
    if (socket.alpnProtocol !== 'h2') throw new SpeaksHttp1(socket)
    // HTTP/2 knows no half-closed connections: node:http2 would wait for ever on one
    socket.allowHalfOpen = false
    // nor does it notice that a server of TLS 1.3 refuses a certificate after the handshake
    socket.once('error', (error) => socket.destroy(error))
    clearTimeout(this.#settling)
    this.#settling = setTimeout(() => socket.destroy(), SETTINGS_TIMEOUT_MS).unref()
    return socket
  }
}

export class H2Sessions {
  readonly #peer: TlsPeer
  readonly #timeoutMs: number
  readonly #origin: URL
  #agent: Agent
  readonly #uses = new WeakMap<Http2Session, number>()
  /** Streams that have not ended, and when the last one did. */
  #live = 0
  #idleSince = 0

  constructor(peer: TlsPeer, timeoutMs: number) {
    this.#peer = peer
    this.#timeoutMs = timeoutMs
    this.#origin = new URL(`https://${authorityOf(peer)}`)
    this.#agent = this.#makeAgent()
  }

  /**
   * Begins a request on a connection with room for it; where none has, on a new one.
   * @param head as HTTP/1.1 writes it
   * @throws SpeaksHttp1, or Failure ENGINE_UNREACHABLE, ENGINE_TIMEOUT or ENGINE_GONE
   */
  async begin(head: string): Promise<UpstreamStream> {
    const { fields, hasBody } = requestFields(head)
    const cancel = new AbortController()
    const options = { endStream: !hasBody, signal: cancel.signal }
    let stream: ClientHttp2Stream
    try {
      stream = await this.#agent.request(this.#origin, {}, fields, options)
    } catch (error) {
      throw error instanceof Failure || error instanceof SpeaksHttp1
        ? error
        : lossOf(error as Error)
    }
    this.#live++
    stream.once('close', () => {
      this.#live--
      this.#idleSince = Date.now()
    })
    return new UpstreamStream(stream, cancel, this.#countUse(stream.session))
  }

  #countUse(session: Http2Session | undefined): number {
    if (session === undefined) return 1
    const uses = (this.#uses.get(session) ?? 0) + 1
    this.#uses.set(session, uses)
    return uses
  }

  #makeAgent(): Agent {
    const agent = new Dialler(this.#peer, this.#timeoutMs)
    agent.on('session', (session: ClientHttp2Session) =>
      session.once('goaway', () => this.#retire(agent)),
    )
    return agent
  }

  /** The agent would go on to choose a connection that takes no more streams: what comes now is another's. */
  #retire(agent: Agent): void {
    if (this.#agent === agent) this.#agent = this.#makeAgent()
    agent.maxEmptySessions = 0
    agent.closeEmptySessions()
  }

  /** Closes what has carried nothing for so long. Returns whether connections are left. */
  expire(now: number, maxIdleMs: number): boolean {
    if (this.#live === 0 && now - this.#idleSince >= maxIdleMs) this.#agent.closeEmptySessions()
    return this.#agent.sessionCount > 0
  }

  close(): void {
    this.#retire(this.#agent)
  }
}
