/** Which engine a tenant has: by its address, or by the name that the operator gave it. */
import { Failure } from '../errors.ts'
import type { EngineAddress } from '../upstream/address.ts'
import type { Endpoint, Place } from './endpoint.ts'
import { fixedEndpoint } from './fixed.ts'

/** The name of the engine that `--engine` says. */
export const DEFAULT_ENDPOINT = 'default'

export interface DirectoryOptions {
  /** Engines by name. */
  readonly named: ReadonlyMap<string, Place>
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

  /** By address as it was given: one engine, one place. */
  const unnamed = new Map<string, Place>()

  const placeOf = (endpoint: string): Place => {
    const place = named.get(endpoint) ?? unnamed.get(endpoint)
    if (place !== undefined) return place
    if (!endpoint.includes('://'))
      throw new Failure(
        'ENDPOINT_UNKNOWN',
        `"${endpoint}" is not among the endpoints of this berth`,
      )
    try {
      const parsed = { address: parse(endpoint) }
      unnamed.set(endpoint, parsed)
      return parsed
    } catch (error) {
      throw new Failure('ENDPOINT_UNKNOWN', (error as Error).message, error)
    }
  }

  return (tenant: Placed): Endpoint => {
    let found = known.get(tenant)
    if (found === undefined) {
      found = fixedEndpoint(tenant.id, placeOf(tenant.endpoint))
      known.set(tenant, found)
    }
    return found
  }
}
