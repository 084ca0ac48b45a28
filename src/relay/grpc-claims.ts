/** Which tenant a build session or build belongs to, where several share an engine: the first to name an id has it. */
import { Failure } from '../errors.ts'

/** Ids are random and short-lived; the oldest of a tenant's are forgotten, never another's. */
const CLAIMS_A_TENANT = 1024

export class Claims {
  readonly #owners = new Map<string, string>()
  readonly #ofTenant = new Map<string, Set<string>>()

  /**
   * @param engine the engine's address: ids of different engines have nothing to do with each other
   * @throws Failure POLICY_DENIED when the id is another tenant's
   */
  claim(engine: string, id: string, tenant: string): void {
    const key = `${engine} ${id}`
    const owner = this.#owners.get(key)
    if (owner === tenant) return
    if (owner !== undefined)
      throw new Failure('POLICY_DENIED', 'this build session belongs to somebody else')
    this.#owners.set(key, tenant)
    const keys = this.#ofTenant.get(tenant) ?? new Set()
    this.#ofTenant.set(tenant, keys.add(key))
    const [oldest] = keys
    if (keys.size <= CLAIMS_A_TENANT || oldest === undefined) return
    keys.delete(oldest)
    this.#owners.delete(oldest)
  }
}
