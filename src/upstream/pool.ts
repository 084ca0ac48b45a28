/** Connections to one engine, kept open between requests: the sockets around a shelf. */
import { isIPv6 } from 'node:net'
import { adoptPlain } from '../transport/adopt.ts'
import type { Conduit } from '../transport/conduit.ts'
import { authorityOf, type EngineAddress } from './address.ts'
import { DIAL_TIMEOUT_MS, dial } from './dial.ts'
import { UpstreamConnection } from './h1.ts'
import { H2Sessions, SpeaksHttp1 } from './h2-sessions.ts'
import type { UpstreamStream } from './h2-stream.ts'
import { Shelf } from './shelf.ts'

/** As many clients may take turns without a dial; what a burst leaves behind is closed when it has been idle for long. */
const ROOM = 512
/** Give or take a sweep. Shorter than any engine's or middlebox's own patience: a reused connection is nearly always alive. */
const MAX_IDLE_MS = 15_000
const SWEEP_MS = 5000

/** What carries one request at a time. */
export type Connection = UpstreamConnection | UpstreamStream

/** Engines look at no Host, but what stands before one may. Where none does, this says who asks, in packet captures. */
const hostOf = (address: EngineAddress): string =>
  address.kind === 'tls' ? authorityOf(address) : 'berth'

/** HTTP/2 is offered over TLS only, and not to bare IPv6 addresses: http2-wrapper cannot tell what they are. */
const sessionsTo = (address: EngineAddress): H2Sessions | undefined =>
  address.kind === 'tls' && !isIPv6(address.host)
    ? new H2Sessions(address, DIAL_TIMEOUT_MS)
    : undefined

/** What answers have told about an engine. */
export interface Learned {
  /** Its newest API version, as `1.51`; undefined until the first answer that names it. */
  apiVersion: string | undefined
}

export class Pool {
  readonly address: EngineAddress
  /** What the engine is called in requests. */
  readonly host: string
  readonly learned: Learned = { apiVersion: undefined }
  readonly #shelf = new Shelf<UpstreamConnection>(ROOM, MAX_IDLE_MS)
  /** Where the engine may speak HTTP/2, until it has chosen not to. */
  #sessions: H2Sessions | undefined
  #sweep: NodeJS.Timeout | undefined
  /** When it swept last, in ms: exact enough to say since when a connection is idle, and asked of no clock. */
  #swept = 0
  #isClosed = false
  /** Connections in use. */
  busy = 0

  constructor(address: EngineAddress) {
    this.address = address
    this.host = hostOf(address)
    this.#sessions = sessionsTo(address)
  }

  get idle(): number {
    return this.#shelf.size
  }

  /** An idle connection, if one is left; undefined says `open` one. */
  take(): UpstreamConnection | undefined {
    for (;;) {
      const connection = this.#shelf.take()
      if (connection === undefined) return undefined
      if (connection.isUsable) {
        this.busy++
        return connection
      }
    }
  }

  /**
   * A new way for one request, which is to be asked on it next: a stream where the engine speaks HTTP/2.
   * @param head as HTTP/1.1 writes it
   * @throws Failure ENGINE_UNREACHABLE, ENGINE_TIMEOUT or ENGINE_GONE
   */
  begin(head: string): Promise<Connection> {
    return this.#sessions === undefined ? this.open() : this.#beginStream(head, this.#sessions)
  }

  async #beginStream(head: string, sessions: H2Sessions): Promise<Connection> {
    try {
      const stream = await sessions.begin(head)
      this.busy++
      return stream
    } catch (error) {
      if (!(error instanceof SpeaksHttp1)) throw error
      this.#sessions = undefined
      const socket = error.take()
      return socket === undefined ? this.open() : this.#put(adoptPlain(socket))
    }
  }

  /**
   * A connection of HTTP/1.1, which can stop being that.
   * @throws Failure ENGINE_UNREACHABLE or ENGINE_TIMEOUT
   */
  async open(): Promise<UpstreamConnection> {
    return this.#put(await dial(this.address))
  }

  #put(conduit: Conduit): UpstreamConnection {
    const connection = new UpstreamConnection(conduit)
    connection.onUnusable = () => this.#shelf.remove(connection)
    this.busy++
    return connection
  }

  /** Takes a connection back. One that is not reusable, or says anything now, is closed: its bytes could answer somebody else. */
  release(connection: Connection, reusable: boolean): void {
    this.busy--
    if (connection.isStream) {
      connection.leave(reusable)
      this.#sweepFromNowOn()
      return
    }
    if (!reusable || this.#isClosed || connection.conduit.hasUnread || !connection.isUsable) {
      connection.conduit.destroy()
      return
    }
    connection.rest()
    this.#sweepFromNowOn()
    this.#shelf.put(connection, this.#swept)?.conduit.destroy()
  }

  #sweepFromNowOn(): void {
    if (this.#sweep !== undefined) return
    this.#swept = Date.now()
    this.#sweep = setInterval(this.#expire, SWEEP_MS).unref()
  }

  readonly #expire = (): void => {
    const now = Date.now()
    this.#swept = now
    for (const connection of this.#shelf.expire(now)) connection.conduit.destroy()
    const hasSessions = this.#sessions?.expire(now, MAX_IDLE_MS) === true
    if (this.#shelf.size > 0 || hasSessions) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#sweep)
    this.#sessions?.close()
    for (const connection of this.#shelf.clear()) connection.conduit.destroy()
  }
}

/** The pools of this process, one a key: (tenant, endpoint, incarnation), so that no two tenants ever share a connection. */
export class Pools {
  readonly #pools = new Map<string, Pool>()

  /** The newest API version that any engine has named, as `1.51`. */
  get apiVersion(): string | undefined {
    let newest: string | undefined
    for (const { learned } of this.#pools.values())
      if (learned.apiVersion !== undefined && minorOf(learned.apiVersion) > minorOf(newest))
        newest = learned.apiVersion
    return newest
  }

  of(key: string, address: EngineAddress): Pool {
    let pool = this.#pools.get(key)
    // the same engine, shown another certificate
    if (pool !== undefined && pool.address !== address) pool.close()
    if (pool?.address !== address) {
      pool = new Pool(address)
      this.#pools.set(key, pool)
    }
    return pool
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close()
    this.#pools.clear()
  }
}

/** API versions are `1.NN`: what follows the dot orders them. */
const minorOf = (version: string | undefined): number =>
  version === undefined ? -1 : Number(version.slice(2))
