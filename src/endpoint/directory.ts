/** Which engine a tenant has: by its address, or by the name that the operator gave it. */
import { Failure } from '../errors.ts'
import type { EngineAddress } from '../upstream/address.ts'
import type { Endpoint } from './endpoint.ts'
import { fixedEndpoint } from './fixed.ts'

/** The name of the engine that `--engine` says. */
export const DEFAULT_ENDPOINT = 'default'

export interface DirectoryOptions {
  /** Engines by name. */
  readonly named: ReadonlyMap<string, EngineAddress>
  /** Reads an address as people write it; throws on anything else. */
  readonly parse: (url: string) => EngineAddress
}

/** A tenant, and what he was given. */
interface Placed {
  readonly id: string
  readonly endpoint: string
}

/** @returns finds the endpoint of a tenant; it throws Failure ENDPOINT_UNKNOWN when nobody knows what he was given */
export const createDirectory = ({ named, parse }: DirectoryOptions) => {
  /** By the tenant's record as it is now. */
  const known = new WeakMap<Placed, Endpoint>()

  const addressOf = (endpoint: string): EngineAddress => {
    const address = named.get(endpoint)
    if (address !== undefined) return address
    if (!endpoint.includes('://'))
      throw new Failure(
        'ENDPOINT_UNKNOWN',
        `"${endpoint}" is not among the endpoints of this berth`,
      )
    try {
      return parse(endpoint)
    } catch (error) {
      throw new Failure('ENDPOINT_UNKNOWN', (error as Error).message, error)
    }
  }

  return (tenant: Placed): Endpoint => {
    let found = known.get(tenant)
    if (found === undefined) {
      found = fixedEndpoint(tenant.id, addressOf(tenant.endpoint))
      known.set(tenant, found)
    }
    return found
  }
}
