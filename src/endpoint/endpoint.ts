/** Where a tenant's requests go. */
import type { EngineAddress } from '../upstream/address.ts'

export interface Endpoint {
  /** Distinguishes tenant, endpoint and incarnation: connections are shared only below one key. */
  readonly key: string
  readonly address: EngineAddress
}
