/** The contract of a store: small records under ordered keys, atomic commits, leases, and news of changes. */

/** A record as it was read. */
export interface Entry {
  readonly key: string
  readonly value: Buffer
  /** Of the commit that wrote it. Grows with every commit to the store; a key never sees the same one twice. */
  readonly revision: number
}

/** What may be stored. Strings are stored as UTF-8; every value is read back as bytes. */
export type Value = string | Uint8Array

export const bytesOf = (value: Value): Buffer =>
  typeof value === 'string' ? Buffer.from(value) : Buffer.from(value)

/** The revision that a record has while it does not exist. */
export const ABSENT = 0

/** One write of a commit. */
export interface Change {
  readonly key: string
  /** The new value; without one the record is deleted. */
  readonly value?: Value | undefined
  /** The revision the record must still have (`ABSENT`: it must not exist). Without one, any will do. */
  readonly expect?: number | undefined
}

/**
 * The right to do something alone for a while.
 *
 * A holder that was paused may outlive its lease without knowing: whatever it writes should carry `fence`, and
 * whoever reads it should refuse a smaller one than he has seen.
 */
export interface Lease {
  readonly name: string
  /** Grows with every lease given by this store, under any name. */
  readonly fence: number
  /** When it ends if not renewed: milliseconds of the holder's clock, on the early side. */
  readonly expiresAt: number
  /** Makes it last `duration` ms from now. False: it was lost, and someone else may hold it. */
  renew(duration: number): Promise<boolean>
  /** Gives it back. Nothing happens if it was lost before. */
  release(): Promise<void>
}

/** Who wants to hear of changes below a prefix, whichever process made them. */
export interface Watcher {
  /** The record was written or deleted: read it. Told at least once, within about 250 ms. */
  changed(key: string): void
  /** Some changes may have gone unreported: read again whatever matters. */
  missed(): void
}

/** `away`: every call fails at once with STORE_UNAVAILABLE until the store is back. */
export type StoreState = 'up' | 'away'

/** What an acknowledged write survives. */
export interface Durability {
  /** Whether it survives the loss of power. */
  readonly certain: boolean
  /** A sentence for the operator, with the cure where one is needed. */
  readonly says: string
}

/**
 * Every method fails with STORE_UNAVAILABLE while the store is away; a commit that failed so may or may not have
 * been made. Keys are 1 to 512 printable ASCII characters without spaces, and sort as bytes.
 */
export interface Store {
  readonly state: StoreState
  /** Tells of each change of `state`; returns what ends it. */
  onState(listener: (state: StoreState) => void): () => void

  get(key: string): Promise<Entry | undefined>
  /** All changes or none. Returns their revision, or undefined when an expectation did not hold. */
  commit(changes: readonly Change[]): Promise<number | undefined>
  put(key: string, value: Value): Promise<number>
  delete(key: string): Promise<void>
  /** Writes, or with an undefined value deletes, if the record still has the revision `expect`. */
  compareAndSet(key: string, expect: number, value: Value | undefined): Promise<number | undefined>
  /** The records below `prefix` in order of key, those after the key `after`. Not one snapshot: it is read in pages. */
  range(prefix: string, after?: string): AsyncIterable<Entry>

  /** Takes the lease for `duration` ms, or returns undefined while someone holds it. */
  lease(name: string, duration: number): Promise<Lease | undefined>
  /** Resolves once every later change will be told; returns what ends it. */
  watch(prefix: string, watcher: Watcher): Promise<() => void>

  durability(): Promise<Durability>
  close(): Promise<void>
}

/** Sorts after every key that starts with the prefix it is put behind. */
export const AFTER_PREFIX = '\x7f'

const KEY = /^[\x21-\x7e]{1,512}$/

/** Keys are made by berth, never by a client: a bad one is a bug, and fails as one. */
export const checkKey = (key: string): void => {
  if (!KEY.test(key)) throw new TypeError(`not a key for the store: ${JSON.stringify(key)}`)
}
