/** Where a tenant's requests go. */
import type { EngineAddress } from '../upstream/address.ts'

export interface Endpoint {
  /** Distinguishes tenant, endpoint and incarnation: connections are shared only below one key. */
  readonly key: string
  readonly address: EngineAddress
  /** A buildkitd of the tenant's own, where builds go instead of to the engine. */
  readonly build?: EngineAddress
}
