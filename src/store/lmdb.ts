/** The store that needs nothing else: LMDB in a directory, shared by the processes of one machine. */

import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Database, open, type RootDatabase } from 'lmdb'
import { Failure } from '../errors.ts'
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

/** LMDB tells no one of a commit: whether there was one is asked this often (ms). */
const POLL = 200
/** Commits whose keys are remembered for watchers of other processes; who falls further behind has missed some. */
const LOG_LENGTH = 10_000
/** Records read at once by a range, so that none holds a read transaction, and with it old pages, for long. */
const PAGE = 256

/** How often, and how far apart (ms), the newest commit is waited for while another process opens the store. */
const TRIES = 400
const BETWEEN_TRIES = 5

interface Held {
  readonly fence: number
  readonly expiresAt: number
}

/** What went wrong is for the log: the message may be read by a tenant. */
const unavailable = (cause: unknown): Failure =>
  new Failure('STORE_UNAVAILABLE', 'it cannot be used', cause)

/**
 * Whether a write transaction that has begun builds on the newest commit.
 *
 * Not certain: lmdb 3.5 opens an environment by reading which commit is the newest and then telling all processes so,
 * without a lock. Where one commits in between, that commit has been set back: nobody sees it, and the next one would
 * overwrite it. So whoever opens looks once more and opens again (which repairs it, from the file), and whoever writes
 * waits for that and writes nothing until then.
 */
const buildsOnNewest = (root: RootDatabase): boolean =>
  root.getWriteTxnId() === (root.getStats() as { lastTxnId: number }).lastTxnId + 1

/** Why lmdb could not write: its own error of a commit says so in one that comes a little later. */
const reasonOf = async (error: unknown): Promise<unknown> => {
  const { commitError } = error as { commitError?: Promise<never> }
  return commitError === undefined ? error : commitError.catch((reason: unknown) => reason)
}

const OVERTAKEN = Symbol('the newest commit has been set back')

interface Databases {
  readonly root: RootDatabase
  readonly records: Database<Buffer, string>
  /** revision -> the keys of that commit, one a line */
  readonly log: Database<string, number>
  readonly leases: Database<Held, string>
  readonly counters: Database<number, string>
}

/** One attempt; undefined where another process committed meanwhile. */
const openDatabases = async (path: string): Promise<Databases | undefined> => {
  // overlappingSync would acknowledge a commit before it is on disk. With eventTurnBatching, a commit that fails (a full
  // disk) rejects a promise of lmdb's own too, which nobody can catch: the process would end
  const root = open({ path, noSubdir: false, overlappingSync: false, eventTurnBatching: false })
  const isCurrent = () => root.transactionSync(() => buildsOnNewest(root))
  if (isCurrent()) {
    const databases: Databases = {
      root,
      records: root.openDB('records', { encoding: 'binary', useVersions: true }),
      log: root.openDB('log', { encoding: 'string' }),
      leases: root.openDB('leases', { encoding: 'json' }),
      counters: root.openDB('counters', { encoding: 'json' }),
    }
    // in a new store they have just been made
    if (isCurrent()) return databases
  }
  await root.close()
  return undefined
}

class LmdbStore implements Store {
  readonly state: StoreState = 'up'
  readonly #root: RootDatabase
  readonly #records: Databases['records']
  readonly #log: Databases['log']
  readonly #leases: Databases['leases']
  readonly #counters: Databases['counters']
  readonly #now: () => number
  readonly #watchers = createWatchers()
  #poll: NodeJS.Timeout | undefined
  /** Under way: closing waits for them. */
  readonly #writes = new Set<Promise<unknown>>()
  #isClosed = false

  constructor({ root, records, log, leases, counters }: Databases, now: () => number) {
    this.#root = root
    this.#records = records
    this.#log = log
    this.#leases = leases
    this.#counters = counters
    this.#now = now
  }

  onState(): () => void {
    return () => undefined
  }

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key)
    this.#checkOpen()
    // a read transaction lasts for a turn of the event loop: without this, so would what it saw
    this.#root.resetReadTxn()
    const found = this.#records.getEntry(key)
    return found && { key, value: found.value, revision: found.version ?? ABSENT }
  }

  commit(changes: readonly Change[]): Promise<number | undefined> {
    for (const { key } of changes) checkKey(key)
    return this.#write(() => {
      // a transaction that throws is not undone, so all is checked before the first write
      if (!changes.every((change) => this.#holds(change))) return undefined
      const revision = this.#count('revision')
      for (const { key, value } of changes) {
        if (value === undefined) void this.#records.remove(key)
        else void this.#records.put(key, bytesOf(value), revision)
      }
      void this.#log.put(revision, changes.map(({ key }) => key).join('\n'))
      void this.#log.remove(revision - LOG_LENGTH)
      return revision
    })
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
    const end = prefix + AFTER_PREFIX
    let start = after !== undefined && after > prefix ? after : prefix
    let exclusiveStart = start === after
    for (;;) {
      this.#checkOpen()
      this.#root.resetReadTxn()
      const page = this.#records
        .getRange({ start, end, exclusiveStart, versions: true, limit: PAGE })
        .map(({ key, value, version = ABSENT }) => ({ key, value, revision: version }))
      const entries = [...page]
      yield* entries
      const last = entries.at(-1)
      if (last === undefined || entries.length < PAGE) return
      start = last.key
      exclusiveStart = true
    }
  }

  async lease(name: string, duration: number): Promise<Lease | undefined> {
    checkKey(name)
    const held = await this.#write(() => {
      const now = this.#now()
      if ((this.#leases.get(name)?.expiresAt ?? 0) > now) return undefined
      const held: Held = { fence: this.#count('fence'), expiresAt: now + duration }
      void this.#leases.put(name, held)
      return held
    })
    return held && this.#holder(name, held)
  }

  async watch(prefix: string, watcher: Watcher): Promise<() => void> {
    if (this.#watchers.size === 0) {
      this.#root.resetReadTxn()
      this.#watchers.missed(this.#lastRevision())
    }
    const remove = this.#watchers.add(prefix, watcher)
    this.#poll ??= setInterval(() => this.#look(), POLL).unref()
    return () => {
      remove()
      if (this.#watchers.size > 0) return
      clearInterval(this.#poll)
      this.#poll = undefined
    }
  }

  async durability(): Promise<Durability> {
    return { certain: true, says: 'every write is on disk before it is acknowledged' }
  }

  /** lmdb ends read transactions by a timer of its own, and throws there if it finds them closed: no reads from here on. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#poll)
    await Promise.allSettled(this.#writes)
    this.#root.resetReadTxn()
    await this.#root.close()
  }

  #checkOpen(): void {
    if (this.#isClosed) throw unavailable(new Error('the store has been closed'))
  }

  /** Runs `action` in a write transaction, which waits for those of other processes. Resolves when it is on disk. */
  async #write<T>(action: () => T): Promise<T> {
    this.#checkOpen()
    const writing = this.#writeOnNewest(action)
    this.#writes.add(writing)
    try {
      return await writing
    } catch (error) {
      throw unavailable(await reasonOf(error))
    } finally {
      this.#writes.delete(writing)
    }
  }

  async #writeOnNewest<T>(action: () => T): Promise<T> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const done = await this.#root.transaction(() =>
        buildsOnNewest(this.#root) ? action() : OVERTAKEN,
      )
      if (done !== OVERTAKEN) return done
      await sleep(BETWEEN_TRIES)
    }
    throw new Error('a process that was opening it died; whoever opens it next repairs it')
  }

  #holds({ key, expect }: Change): boolean {
    return expect === undefined || (this.#records.getEntry(key)?.version ?? ABSENT) === expect
  }

  #count(counter: 'revision' | 'fence'): number {
    const next = (this.#counters.get(counter) ?? 0) + 1
    void this.#counters.put(counter, next)
    return next
  }

  #lastRevision(): number {
    return this.#counters.get('revision') ?? 0
  }

  #holder(name: string, taken: Held): Lease {
    let { expiresAt } = taken
    const isMine = (): boolean => {
      const held = this.#leases.get(name)
      return held?.fence === taken.fence && held.expiresAt > this.#now()
    }
    return {
      name,
      fence: taken.fence,
      get expiresAt() {
        return expiresAt
      },
      renew: (duration) =>
        this.#write(() => {
          if (!isMine()) return false
          expiresAt = this.#now() + duration
          void this.#leases.put(name, { fence: taken.fence, expiresAt })
          return true
        }),
      release: () =>
        this.#write(() => {
          if (isMine()) void this.#leases.remove(name)
        }),
    }
  }

  /**
   * Asks the records themselves: LMDB's count of transactions runs ahead of what can be read for as long as a commit is
   * being synced, and whoever took it for news would read too early and not look again.
   */
  #look(): void {
    this.#root.resetReadTxn()
    if (this.#lastRevision() === this.#watchers.position) return
    const commits = [...this.#log.getRange({ start: this.#watchers.position + 1 })]
    for (const { key, value } of commits) this.#watchers.changed(key, value.split('\n'))
  }
}

/** For whoever opens the store, who may know where it is. */
const unusable = (path: string, error: unknown): Failure => {
  const reason = error instanceof Error ? error.message : String(error)
  return new Failure('STORE_UNAVAILABLE', `${path}: ${reason}`, error)
}

/**
 * Opens, or makes, the store in the directory `path`.
 *
 * `now` serves leases only. It must be the same for every process that shares the directory: the wall clock is.
 *
 * @throws STORE_UNAVAILABLE
 */
export const openLmdb = async (path: string, now: () => number = Date.now): Promise<Store> => {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    for (let tries = 0; tries < TRIES; tries += 1) {
      const databases = await openDatabases(path)
      if (databases !== undefined) return new LmdbStore(databases, now)
      await sleep(BETWEEN_TRIES)
    }
    throw new Error('others commit too fast to join them')
  } catch (error) {
    throw unusable(path, error)
  }
}
