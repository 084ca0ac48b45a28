/** The store that several machines share: Redis, alone, behind Sentinels or as a Cluster. */

import { Failure } from '../errors.ts'
import { createClient, type RedisClient } from './redis-client.ts'
import type { RedisTarget } from './redis-url.ts'
import {
  ABSENT,
  AFTER_PREFIX,
  bytesOf,
  type Change,
  checkKey,
  type Durability,
  type Entry,
  type Lease,
  type Store,
  type StoreState,
  type Value,
  type Watcher,
} from './store.ts'
import { createWatchers } from './watchers.ts'

/** How often (ms) the revision is asked for: finds a server that is away or back, and news that got lost. */
const HEARTBEAT = 400
/** Time (ms) to find and reach the server when opening, through sentinels or cluster nodes that may be down. */
const OPEN_TIMEOUT = 3000
/** Records read at once by a range. */
const PAGE = 256

/** Replies that mean "not now" rather than "never". */
const AWAY_REPLY =
  /^(?:LOADING|READONLY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|NOAUTH|WRONGPASS|NOREPLICAS)/

const isReply = (error: unknown): error is Error =>
  error instanceof Error && error.name === 'ReplyError'

/** For whoever opens the store, who may know where it is. */
const unreachable = (reason: string, cause: unknown): Failure =>
  new Failure('STORE_UNAVAILABLE', reason, cause)

class RedisStore implements Store {
  readonly #client: RedisClient
  /** Of its own, because a connection with subscriptions takes no commands. A cluster's client has one inside. */
  readonly #subscriber: RedisClient
  readonly #where: string
  readonly #prefix: string
  readonly #channel: string
  readonly #now: () => number
  readonly #watchers = createWatchers()
  readonly #listeners = new Set<(state: StoreState) => void>()
  #state: StoreState = 'away'
  #lastError: unknown
  #subscribed: Promise<void> | undefined
  /** The revision that the last heartbeat saw. */
  #beat = 0
  #beating = false
  #heartbeat: NodeJS.Timeout | undefined

  constructor(target: RedisTarget, now: () => number) {
    this.#client = createClient(target)
    this.#subscriber = target.kind === 'cluster' ? this.#client : createClient(target)
    this.#where = `${target.kind} ${target.addresses.map(({ host, port }) => `${host}:${port}`)}`
    this.#prefix = `{${target.prefix}}:`
    this.#channel = `${this.#prefix}changes`
    this.#now = now
    for (const client of new Set([this.#client, this.#subscriber])) {
      client.on('error', (error) => {
        this.#lastError = error
      })
    }
    this.#client.on('close', () => this.#become('away'))
    this.#client.on('ready', () => void this.#beatOnce())
    this.#subscriber.on('message', (_channel: string, message: string) => {
      const [revision, ...keys] = message.split('\n')
      this.#watchers.changed(Number(revision), keys)
    })
  }

  get state(): StoreState {
    return this.#state
  }

  onState(listener: (state: StoreState) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** Connects, or says why it cannot. */
  async open(): Promise<void> {
    const deadline = setTimeout(() => this.#client.disconnect(), OPEN_TIMEOUT)
    try {
      await this.#client.connect()
      this.#beat = Number(await this.#client.get(this.#name('revision')))
    } catch (error) {
      this.#client.disconnect()
      throw unreachable(this.#reason(error), error)
    } finally {
      clearTimeout(deadline)
    }
    this.#become('up')
    this.#heartbeat = setInterval(() => void this.#beatOnce(), HEARTBEAT)
  }

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key)
    const [value, revision] = await this.#run(() =>
      this.#client.hmgetBuffer(this.#record(key), 'value', 'revision'),
    )
    return value && revision ? { key, value, revision: Number(revision) } : undefined
  }

  async commit(changes: readonly Change[]): Promise<number | undefined> {
    for (const { key } of changes) checkKey(key)
    const keys = [this.#name('revision'), this.#name('index')]
    const args: (string | number | Uint8Array)[] = [this.#channel]
    for (const { key, value, expect = '' } of changes) {
      keys.push(this.#record(key))
      args.push(key, expect, value === undefined ? 'delete' : 'put', bytesOf(value ?? ''))
    }
    const revision = await this.#run(() =>
      this.#client.commitRecords(keys.length, ...keys, ...args),
    )
    return revision ?? undefined
  }

  async put(key: string, value: Value): Promise<number> {
    return (await this.commit([{ key, value }])) ?? ABSENT
  }

  async delete(key: string): Promise<void> {
    await this.commit([{ key }])
  }

  compareAndSet(
    key: string,
    expect: number,
    value: Value | undefined,
  ): Promise<number | undefined> {
    return this.commit([{ key, expect, value }])
  }

  async *range(prefix: string, after?: string): AsyncGenerator<Entry> {
    checkKey(prefix)
    let start = after !== undefined && after >= prefix ? `(${after}` : `[${prefix}`
    for (;;) {
      const keys = await this.#run(() =>
        this.#client.zrangebylex(
          this.#name('index'),
          start,
          `(${prefix}${AFTER_PREFIX}`,
          'LIMIT',
          0,
          PAGE,
        ),
      )
      // one round trip for all of them: ioredis writes what is asked for in one turn at once
      for (const entry of await Promise.all(keys.map((key) => this.get(key)))) {
        if (entry !== undefined) yield entry
      }
      const last = keys.at(-1)
      if (last === undefined || keys.length < PAGE) return
      start = `(${last}`
    }
  }

  async lease(name: string, duration: number): Promise<Lease | undefined> {
    checkKey(name)
    const key = this.#name(`lease:${name}`)
    // Redis counts from when it hears of the lease, which is later
    let expiresAt = this.#now() + duration
    const fence = await this.#run(() => this.#client.takeLease(key, this.#name('fence'), duration))
    if (fence === null) return undefined
    return {
      name,
      fence,
      get expiresAt() {
        return expiresAt
      },
      renew: async (more) => {
        const until = this.#now() + more
        const held = (await this.#run(() => this.#client.renewLease(key, fence, more))) === 1
        if (held) expiresAt = until
        return held
      },
      release: async () => {
        await this.#run(() => this.#client.releaseLease(key, fence))
      },
    }
  }

  async watch(prefix: string, watcher: Watcher): Promise<() => void> {
    this.#subscribed ??= this.#subscribe()
    try {
      await this.#subscribed
    } catch (error) {
      this.#subscribed = undefined
      throw error
    }
    return this.#watchers.add(prefix, watcher)
  }

  async durability(): Promise<Durability> {
    const settings = await this.#run(async () => {
      const appendonly = await this.#client.config('GET', 'appendonly')
      const appendfsync = await this.#client.config('GET', 'appendfsync')
      return [appendonly, appendfsync].map((pair) => (pair as string[])[1])
    }).catch(() => undefined)
    if (settings === undefined) {
      return { certain: false, says: 'this Redis does not tell how it writes to disk (CONFIG GET)' }
    }
    const [appendonly, appendfsync] = settings
    if (appendonly === 'yes' && appendfsync === 'always') {
      return { certain: true, says: 'Redis writes to disk before it acknowledges' }
    }
    return {
      certain: false,
      says:
        'Redis acknowledges before it writes to disk, so a crash loses the newest writes: ' +
        'set "appendonly yes" and "appendfsync always"',
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat)
    this.#client.disconnect()
    this.#subscriber.disconnect()
  }

  // === state ===

  #become(state: StoreState): void {
    if (state === this.#state) return
    this.#state = state
    for (const listener of this.#listeners) listener(state)
  }

  /** What a connection last said tells more than what a command says that found none. */
  #reason(error: unknown): string {
    const reason = isReply(error) ? error : (this.#lastError ?? error ?? 'no connection')
    return `${this.#where}: ${reason instanceof Error ? reason.message : reason}`
  }

  /** Addresses are for the log: the message may be read by a tenant. */
  #unavailable(error: unknown): Failure {
    const cause = new Error(this.#reason(error), { cause: error })
    return new Failure('STORE_UNAVAILABLE', 'try again in a moment', cause)
  }

  #failed(error: unknown): Failure {
    if (!isReply(error) || AWAY_REPLY.test(error.message)) this.#become('away')
    return this.#unavailable(error)
  }

  /** Fails at once while Redis is away: only a heartbeat brings it back. */
  async #run<T>(command: () => Promise<T>): Promise<T> {
    if (this.#state === 'away') throw this.#unavailable(undefined)
    try {
      return await command()
    } catch (error) {
      throw this.#failed(error)
    }
  }

  async #beatOnce(): Promise<void> {
    if (this.#beating) return
    this.#beating = true
    try {
      const revision = Number(await this.#client.get(this.#name('revision')))
      const wasAway = this.#state === 'away'
      const isBehind = this.#watchers.position < this.#beat // news that got lost in silence
      const isUndone = revision < this.#beat // commits that a new master never had
      this.#beat = revision
      this.#lastError = undefined
      this.#become('up')
      if (this.#subscribed && (wasAway || isBehind || isUndone)) this.#watchers.missed(revision)
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#beating = false
    }
  }

  // === watch ===

  async #subscribe(): Promise<void> {
    try {
      if (this.#subscriber !== this.#client) await this.#subscriber.connect()
      await this.#listen()
    } catch (error) {
      if (this.#subscriber !== this.#client) this.#subscriber.disconnect()
      throw this.#unavailable(error)
    }
    this.#subscriber.on('ready', () => void this.#listen().catch(() => undefined))
  }

  /** Subscribes, then starts from the revision of that moment: what was committed before is not told any more. */
  async #listen(): Promise<void> {
    await this.#subscriber.subscribe(this.#channel)
    this.#watchers.missed(Number(await this.#client.get(this.#name('revision'))))
  }

  // === names ===

  #name(suffix: string): string {
    return this.#prefix + suffix
  }

  #record(key: string): string {
    return this.#name(`record:${key}`)
  }
}

/** Connects to `target`. Fails with STORE_UNAVAILABLE when it cannot; reconnects for ever afterwards. */
export const openRedis = async (
  target: RedisTarget,
  now: () => number = Date.now,
): Promise<Store> => {
  const store = new RedisStore(target, now)
  await store.open()
  return store
}
