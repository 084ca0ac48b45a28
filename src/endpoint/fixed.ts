/** A fixed engine: it is where it always was, and nothing has to be started. */
import type { EngineAddress } from '../upstream/address.ts'
import type { Endpoint } from './endpoint.ts'

export const fixedEndpoint = (tenantId: string, address: EngineAddress): Endpoint => ({
  key: `${tenantId} ${address.kind === 'unix' ? address.path : `${address.host}:${address.port}`}`,
  address,
})
