/** A fixed engine: it is where it always was, and nothing has to be started. */
import type { EngineAddress } from '../upstream/address.ts'
import type { Endpoint, Place } from './endpoint.ts'

/** Stays as it is for good: what is known of an engine's images is kept under it. */
const nameOf = (address: EngineAddress): string => {
  if (address.kind === 'unix') return address.path
  const { kind, host, port } = address
  return kind === 'tcp' ? `${host}:${port}` : `tls://${host}:${port}`
}

export const fixedEndpoint = (tenantId: string, place: Place): Endpoint => ({
  key: `${tenantId} ${nameOf(place.address)}`,
  ...place,
})
