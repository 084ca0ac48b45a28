/** Where the images of an engine were pulled from, as berth saw it: a name can be given to anything, an id cannot. */
import type { Origin } from '../policy/images.ts'
import type { Store } from '../store/store.ts'
import type { Seal } from '../tenant/seal.ts'

/** Images remembered in this process; what falls out is in the store, or pulled again. */
const MANY = 10_000
/** Places one image is known to come from: more are never needed, and a record stays small. */
const MOST_PLACES = 32

/** A store, and the seal without which a record in it says nothing. */
export interface OriginRecords {
  readonly store: Pick<Store, 'get' | 'put' | 'state'>
  readonly seal: Pick<Seal, 'close' | 'open'>
}

export class Origins {
  readonly #records: OriginRecords | undefined
  /** By record name. */
  readonly #known = new Map<string, readonly string[]>()

  /** @param records without them, all is forgotten when the process ends */
  constructor(records?: OriginRecords) {
    this.#records = records
  }

  /**
   * @param engine the tenant's, so that no other's can vouch for an image
   * @param id as the engine calls the image: `sha256:...`
   * @param places full references that it was pulled by
   * @throws Failure STORE_UNAVAILABLE: then it is known in this process only
   */
  async record(engine: string, id: string, places: readonly string[]): Promise<void> {
    const name = nameOf(engine, id)
    const before = await this.#placesOf(name)
    const all = [...new Set([...places, ...before])].slice(0, MOST_PLACES)
    if (all.length === before.length && all.every((place) => before.includes(place))) return
    this.#remember(name, all)
    await this.#records?.store.put(name, this.#records.seal.close(name, JSON.stringify(all)))
  }

  /** All that is known of an image; nothing known means that it did not come by a pull through berth. */
  async of(engine: string, id: string): Promise<readonly Origin[]> {
    const places = await this.#placesOf(nameOf(engine, id))
    return places.map((from) => ({ kind: 'pulled', from }))
  }

  /** What the store says, which other processes write too; while it is away, what this one remembers. */
  async #placesOf(name: string): Promise<readonly string[]> {
    const stored = await this.#stored(name)
    if (stored !== undefined) this.#remember(name, stored)
    return this.#known.get(name) ?? []
  }

  async #stored(name: string): Promise<readonly string[] | undefined> {
    if (this.#records === undefined) return undefined
    const { store, seal } = this.#records
    if (store.state === 'away') return undefined
    const entry = await store.get(name)
    const places = entry && seal.open(name, entry.value.toString())
    return places === undefined ? undefined : (JSON.parse(places) as readonly string[])
  }

  #remember(name: string, places: readonly string[]): void {
    this.#known.delete(name)
    this.#known.set(name, places)
    const [oldest] = this.#known.keys()
    if (this.#known.size > MANY && oldest !== undefined) this.#known.delete(oldest)
  }
}

/** The name of a record; longer ones than the store takes do not occur, as engines are named by operators. */
const nameOf = (engine: string, id: string): string =>
  `origin/${encodeURIComponent(engine)}/${encodeURIComponent(id)}`
