/** What knows the tenants: store, seal, roster and the way to identify a request; or nobody to know. */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import { Failure } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { Asking } from '../proxy.ts'
import { openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { initAuthority, openAuthority } from '../tenant/authority.ts'
import { claimsIdentity, createIdentify } from '../tenant/identify.ts'
import { Roster } from '../tenant/roster.ts'
import { loadSeal, type Seal } from '../tenant/seal.ts'
import { createThrottle } from '../tenant/throttle.ts'

const MS = 1000

/** The store and the seal that a config names; the embedded one where it names none. */
export const openRecords = async (config: Pick<Config, 'state' | 'store'>): Promise<{ store: Store; seal: Seal }> => {
  mkdirSync(config.state, { recursive: true, mode: 0o700 })
  const store = await openStore(config.store ?? `lmdb://${join(resolve(config.state), 'store')}`)
  return { store, seal: loadSeal(join(config.state, 'secret')) }
}

/** The folder of berth's own certificate authorities. */
export const authorityFolder = (config: Pick<Config, 'state'>): string => join(config.state, 'ca')

export interface Tenancy {
  identify(exchange: Exchange): Asking | Promise<Asking>
  close(): Promise<void>
}

const ANONYMOUS: Asking = { id: 'anonymous', endpoint: 'default', plan: 'default' }

/** One tenant whom nobody asks. A key that somebody shows all the same cannot be right, and is not passed over. */
export const anonymousTenancy = (): Tenancy => ({
  identify: (exchange) => {
    if (claimsIdentity(exchange))
      throw new Failure('UNAUTHENTICATED', 'this listener knows no keys and no certificates; leave them out')
    return ANONYMOUS
  },
  close: async () => {},
})

/** @throws Failure STORE_UNAVAILABLE, SECRET_UNUSABLE or AUTHORITY_UNUSABLE: nothing is served without these */
export const storedTenancy = async (config: Config, log: Logger): Promise<Tenancy> => {
  const { store, seal } = await openRecords(config)
  await initAuthority(authorityFolder(config), Date.now())
  const authority = await openAuthority(authorityFolder(config), Date.now)
  const roster = await Roster.open({
    store,
    seal,
    now: Date.now,
    staleFor: config.cacheSeconds * MS,
    onForged: (record) => log.error({ record }, 'a record in the store was not written by a berth with this secret; it is ignored'),
  })
  store.onState((state) => log.warn({ state }, 'store'))
  const identify = createIdentify({
    roster,
    throttle: createThrottle(),
    clientAuthority: authority.certificate('clients'),
    now: Date.now,
  })
  return {
    identify,
    close: async () => {
      roster.close()
      await store.close()
    },
  }
}
