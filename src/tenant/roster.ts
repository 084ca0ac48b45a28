/** The tenants that this process knows by heart: looked up on every connection, never older than the store's news. */

import { Failure } from '../errors.ts'
import type { Store } from '../store/store.ts'
import { createRecords, KEY, NAME, type OnForged, type Records, TENANT, USED } from './records.ts'
import type { Seal } from './seal.ts'
import { type Credential, nextExpiry, type Standing, standing, type Tenant } from './tenant.ts'

export interface RosterOptions {
  readonly store: Store
  readonly seal: Seal
  readonly now: () => number
  readonly onForged: OnForged
  /** How long (ms) known tenants go on without the store; longer, and a revocation elsewhere would go unheard. */
  readonly staleFor?: number
  /** Tenants kept in memory, about 1 KB each, besides those with a connection. */
  readonly capacity?: number
}

/** Someone who must be told when what he was let in with is good no more. */
interface Follower {
  readonly credential: Credential
  readonly onRevoked: (standing: Exclude<Standing, 'good'>) => void
}

/** One reading of a tenant's record. `isStale`: it was written meanwhile, so it is read again before it counts. */
interface Flight {
  isStale: boolean
  readonly landed: Promise<Tenant | undefined>
}

const STALE_FOR = 10 * 60_000
const CAPACITY = 20_000
/** For how long (ms) an absent record is taken to be absent if no news of it comes, and how many are. */
const ABSENT_FOR = 5000
const MOST_ABSENT = 10_000
/** How often (ms) the use of a key is written down. */
const USE_EVERY = 60_000
/** Records read at once when many have to be. */
const BATCH = 64
/** The longest delay that a timer takes. */
const LONGEST_DELAY = 2 ** 31 - 1

export class Roster {
  readonly #store: Store
  readonly #seal: Seal
  readonly #now: () => number
  readonly #records: Records
  readonly #staleFor: number
  readonly #capacity: number
  /** By id, the longest unused first. */
  readonly #tenants = new Map<string, Tenant>()
  /** Hash of a key -> id, for the keys of the tenants above. */
  readonly #owners = new Map<string, string>()
  /** Name -> id, of the tenants above. */
  readonly #names = new Map<string, string>()
  /** Hashes of all keys there are, as far as the store told: a hint, so that they need not queue with wrong ones. */
  readonly #hashes = new Set<string>()
  /** Name of a record that is not there -> until when to believe it. */
  readonly #absent = new Map<string, number>()
  readonly #flights = new Map<string, Flight>()
  readonly #followers = new Map<string, Set<Follower>>()
  readonly #expiries = new Map<string, NodeJS.Timeout>()
  /** Hash of a key -> when its use was last written down by this process. */
  readonly #used = new Map<string, number>()
  /** Counts what was heard of keys. */
  #news = 0
  #awaySince: number | undefined
  #ends: (() => void)[] = []

  private constructor({ store, seal, now, onForged, staleFor, capacity }: RosterOptions) {
    this.#store = store
    this.#seal = seal
    this.#now = now
    this.#records = createRecords(seal, onForged)
    this.#staleFor = staleFor ?? STALE_FOR
    this.#capacity = capacity ?? CAPACITY
  }

  /** Opens a roster that hears of every change from now on. */
  static async open(options: RosterOptions): Promise<Roster> {
    const roster = new Roster(options)
    await roster.#start()
    return roster
  }

  close(): void {
    for (const end of this.#ends) end()
    for (const timer of this.#expiries.values()) clearTimeout(timer)
  }

  /** The keyed hash by which the other methods know a key. */
  hashOf(key: string): string {
    return this.#seal.hashKey(key)
  }

  /** Whether the key with this hash is likely to be somebody's: it may then be looked up whoever asks. */
  expects(hash: string): boolean {
    return this.#owners.has(hash) || this.#hashes.has(hash)
  }

  /** The owner of a key if this process knows him, at once. Throws STORE_UNAVAILABLE when the store is away too long. */
  known(hash: string): Tenant | undefined {
    this.#checkAge()
    const id = this.#owners.get(hash)
    return id === undefined ? undefined : this.#touch(id)
  }

  /** The owner of a key, disabled or not and whether or not the key has expired: `standing` tells. */
  async byKey(hash: string): Promise<Tenant | undefined> {
    const known = this.known(hash)
    if (known !== undefined) return known
    const record = KEY + hash
    if (this.#isAbsent(record)) return undefined
    const news = this.#news
    const pointer = await this.#store.get(record)
    // The pointer is not sealed: it only says whose record, which is, to look at. What is known of that tenant does
    // not have this key, so it may be new: read again
    const owner = pointer && (await this.#refresh(pointer.value.toString()))
    if (owner?.keys.some((key) => key.hash === hash)) return owner
    // news that came while this was read may have been of this very key
    if (news === this.#news) this.#setAbsent(record)
    return undefined
  }

  /**
   * The record of a tenant who is followed, as it is by now: what he was given may have been changed since.
   * Throws STORE_UNAVAILABLE when the store is away too long.
   */
  newest(tenant: Tenant): Tenant {
    this.#checkAge()
    return this.#tenants.get(tenant.id) ?? tenant
  }

  /** Who has this name. The pointer is not sealed: the tenant's own record has to say the same. */
  async byName(name: string): Promise<Tenant | undefined> {
    this.#checkAge()
    // a name never passes to another tenant while its first one is there, whose end is heard as that of his keys is
    const known = this.#touch(this.#names.get(name) ?? '')
    if (known !== undefined) return known
    const pointer = await this.#store.get(NAME + name)
    const tenant = pointer && (await this.byId(pointer.value.toString()))
    return tenant?.name === name ? tenant : undefined
  }

  async byId(id: string): Promise<Tenant | undefined> {
    this.#checkAge()
    const known = this.#touch(id)
    if (known !== undefined) return known
    return this.#isAbsent(TENANT + id) ? undefined : await this.#load(id)
  }

  /**
   * Calls `onRevoked` once when `credential` is no longer good for the tenant `id`, on whichever machine that was
   * decided: within a second, and at once if it is so already. Returns what ends the vigil.
   */
  follow(id: string, credential: Credential, onRevoked: Follower['onRevoked']): () => void {
    const follower = { credential, onRevoked }
    const followers = this.#followers.get(id) ?? new Set()
    this.#followers.set(id, followers.add(follower))
    const tenant = this.#tenants.get(id)
    if (tenant === undefined) this.#reload(id)
    else this.#tellFollowers(id, tenant)
    const endWait = this.#awaitEnd(followers, follower)
    return () => {
      endWait()
      followers.delete(follower)
      if (followers.size === 0 && this.#followers.get(id) === followers) this.#followers.delete(id)
    }
  }

  /** Notes that a key was used; written down at most once a minute, and not at all while the store is away. */
  used(hash: string): void {
    const now = this.#now()
    if (now - (this.#used.get(hash) ?? 0) < USE_EVERY) return
    if (this.#used.size >= this.#capacity) this.#used.clear()
    this.#used.set(hash, now)
    this.#writeUse(hash, now).catch(() => this.#used.delete(hash))
  }

  // === news ===

  async #start(): Promise<void> {
    this.#setState()
    this.#ends = [
      this.#store.onState(() => this.#setState()),
      await this.#store.watch(TENANT, {
        changed: (record) => this.#tenantChanged(record),
        missed: () => void this.#reloadAll(),
      }),
      await this.#store.watch(KEY, {
        changed: (record) => this.#keyChanged(record),
        missed: () => void this.#readHashes(),
      }),
    ]
    void this.#readHashes()
  }

  #setState(): void {
    this.#awaySince = this.#store.state === 'away' ? (this.#awaySince ?? this.#now()) : undefined
  }

  #checkAge(): void {
    if (this.#awaySince === undefined || this.#now() - this.#awaySince <= this.#staleFor) return
    throw new Failure('STORE_UNAVAILABLE', 'it has been away for too long to trust what is known')
  }

  #tenantChanged(record: string): void {
    this.#absent.delete(record)
    const id = record.slice(TENANT.length)
    if (this.#flights.has(id) || this.#tenants.has(id) || this.#followers.has(id)) this.#reload(id)
  }

  #keyChanged(record: string): void {
    this.#news += 1
    this.#absent.delete(record)
    this.#hashes.add(record.slice(KEY.length))
  }

  async #readHashes(): Promise<void> {
    this.#news += 1
    this.#absent.clear()
    const found = new Set<string>()
    try {
      for await (const { key } of this.#store.range(KEY)) found.add(key.slice(KEY.length))
    } catch {
      return // away: when it is back, this is called again
    }
    for (const hash of this.#hashes) if (!found.has(hash)) this.#hashes.delete(hash)
    for (const hash of found) this.#hashes.add(hash)
  }

  async #reloadAll(): Promise<void> {
    this.#absent.clear()
    const ids = [this.#flights, this.#followers, this.#tenants].flatMap((map) => [...map.keys()])
    const waiting = [...new Set(ids)]
    while (waiting.length > 0) {
      await Promise.allSettled(waiting.splice(0, BATCH).map((id) => this.#refresh(id)))
    }
  }

  // === reading ===

  #reload(id: string): void {
    // a failure means that the store is away: when it is back, all are read again
    this.#refresh(id).catch(() => undefined)
  }

  /** As the record is now, or later. */
  #refresh(id: string): Promise<Tenant | undefined> {
    const running = this.#flights.get(id)
    if (running !== undefined) running.isStale = true
    return this.#load(id)
  }

  /** As the record is, unless it is being read already. */
  #load(id: string): Promise<Tenant | undefined> {
    const running = this.#flights.get(id)
    if (running !== undefined) return running.landed
    const flight: Flight = {
      isStale: false,
      landed: Promise.resolve().then(() => this.#fly(id, flight)),
    }
    this.#flights.set(id, flight)
    return flight.landed
  }

  async #fly(id: string, flight: Flight): Promise<Tenant | undefined> {
    try {
      let tenant: Tenant | undefined
      do {
        flight.isStale = false
        tenant = this.#records.read(await this.#store.get(TENANT + id))
      } while (flight.isStale)
      this.#settle(id, tenant)
      return tenant
    } finally {
      this.#flights.delete(id)
    }
  }

  /** Makes `tenant` what is known of `id`. */
  #settle(id: string, tenant: Tenant | undefined): void {
    this.#forget(id)
    if (tenant === undefined) {
      this.#setAbsent(TENANT + id)
    } else {
      this.#tenants.set(id, tenant)
      this.#names.set(tenant.name, id)
      for (const { hash } of tenant.keys) this.#owners.set(hash, id)
      this.#awaitExpiry(tenant)
      this.#makeRoom()
    }
    this.#tellFollowers(id, tenant)
  }

  #forget(id: string): void {
    const before = this.#tenants.get(id)
    for (const { hash } of before?.keys ?? []) this.#owners.delete(hash)
    if (before !== undefined && this.#names.get(before.name) === id) this.#names.delete(before.name)
    this.#tenants.delete(id)
    clearTimeout(this.#expiries.get(id))
    this.#expiries.delete(id)
  }

  #touch(id: string): Tenant | undefined {
    const tenant = this.#tenants.get(id)
    if (tenant === undefined) return undefined
    this.#tenants.delete(id)
    this.#tenants.set(id, tenant)
    return tenant
  }

  #makeRoom(): void {
    if (this.#tenants.size <= this.#capacity) return
    for (const id of this.#tenants.keys()) {
      if (this.#followers.has(id)) continue
      this.#forget(id)
      return
    }
  }

  #isAbsent(record: string): boolean {
    return (this.#absent.get(record) ?? 0) > this.#now()
  }

  #setAbsent(record: string): void {
    if (this.#absent.size >= MOST_ABSENT) this.#absent.clear()
    this.#absent.set(record, this.#now() + ABSENT_FOR)
  }

  async #writeUse(hash: string, now: number): Promise<void> {
    const written = Number((await this.#store.get(USED + hash))?.value.toString() ?? 0)
    if (now - written >= USE_EVERY) await this.#store.put(USED + hash, String(now))
  }

  // === revocation ===

  #tellFollowers(id: string, tenant: Tenant | undefined): void {
    const now = this.#now()
    const followers = this.#followers.get(id)
    if (followers === undefined) return
    for (const follower of followers) {
      const verdict = standing(tenant, follower.credential, now)
      if (verdict === 'good') continue
      followers.delete(follower)
      queueMicrotask(() => follower.onRevoked(verdict))
    }
    if (followers.size === 0) this.#followers.delete(id)
  }

  /** A certificate whose time is over ends without a record that says so. Returns what ends the wait. */
  #awaitEnd(followers: Set<Follower>, follower: Follower): () => void {
    const { credential, onRevoked } = follower
    if (credential.kind !== 'certificate') return () => {}
    let timer: NodeJS.Timeout | undefined
    const wait = (): void => {
      const left = credential.expiresAt - this.#now()
      if (left > 0) timer = setTimeout(wait, Math.min(left, LONGEST_DELAY)).unref()
      else if (followers.delete(follower)) queueMicrotask(() => onRevoked('expired'))
    }
    wait()
    return () => clearTimeout(timer)
  }

  /** A key whose time is over is revoked without anybody writing anything. */
  #awaitExpiry(tenant: Tenant): void {
    const now = this.#now()
    const at = nextExpiry(tenant, now)
    if (at === undefined) return
    const wake = (): void => {
      this.#tellFollowers(tenant.id, tenant)
      this.#awaitExpiry(tenant)
    }
    this.#expiries.set(tenant.id, setTimeout(wake, Math.min(at - now, LONGEST_DELAY)).unref())
  }
}
