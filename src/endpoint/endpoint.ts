/** Where a tenant's requests go. */
import type { EngineAddress } from '../upstream/address.ts'

/** An engine, whoever its tenants are. */
export interface Place {
  readonly address: EngineAddress
  /** A buildkitd beside it, where builds go instead of to the engine. */
  readonly build?: EngineAddress | undefined
}

export interface Endpoint extends Place {
  /** Distinguishes tenant, endpoint and incarnation: connections are shared only below one key. */
  readonly key: string
}
