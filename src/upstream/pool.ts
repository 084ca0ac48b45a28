/** Connections to one engine, kept open between requests: the sockets around a shelf. */
import type { EngineAddress } from './address.ts'
import { dial } from './dial.ts'
import { UpstreamConnection } from './h1.ts'
import { Shelf } from './shelf.ts'

/** More idle connections than this to one engine are closed at once: a burst is over by then. */
const ROOM = 64
/** Shorter than any engine's or middlebox's own patience, so that a reused connection is nearly always alive. */
const MAX_IDLE_MS = 15_000
const SWEEP_MS = 5000

/** What answers have told about an engine. */
export interface Learned {
  /** Its newest API version, as `1.51`; undefined until the first answer that names it. */
  apiVersion: string | undefined
}

export class Pool {
  readonly address: EngineAddress
  readonly learned: Learned = { apiVersion: undefined }
  readonly #shelf = new Shelf<UpstreamConnection>(ROOM, MAX_IDLE_MS)
  #sweep: NodeJS.Timeout | undefined
  #isClosed = false
  /** Connections in use. */
  busy = 0

  constructor(address: EngineAddress) {
    this.address = address
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

  /** @throws Failure ENGINE_UNREACHABLE or ENGINE_TIMEOUT */
  async open(): Promise<UpstreamConnection> {
    const connection = new UpstreamConnection(await dial(this.address))
    connection.onUnusable = () => this.#shelf.remove(connection)
    this.busy++
    return connection
  }

  /** Takes a connection back. One that is not reusable, or says anything now, is closed: its bytes could answer somebody else. */
  release(connection: UpstreamConnection, reusable: boolean): void {
    this.busy--
    if (!reusable || this.#isClosed || connection.conduit.hasUnread || !connection.isUsable) {
      connection.conduit.destroy()
      return
    }
    connection.rest()
    this.#shelf.put(connection, Date.now())?.conduit.destroy()
    this.#sweep ??= setInterval(this.#expire, SWEEP_MS).unref()
  }

  readonly #expire = (): void => {
    for (const connection of this.#shelf.expire(Date.now())) connection.conduit.destroy()
    if (this.#shelf.size > 0) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#sweep)
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
    if (pool === undefined) {
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
