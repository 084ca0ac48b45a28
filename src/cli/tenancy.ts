/** What knows the tenants: store, seal, roster and the way to identify a request; or nobody to know. */
import { X509Certificate } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Logger } from 'pino'
import { type Config, ConfigError } from '../config/config.ts'
import { DEFAULT_ENDPOINT } from '../endpoint/directory.ts'
import { Failure } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { Asking } from '../proxy.ts'
import { lmdbUrl, openStore } from '../store/open.ts'
import { ABSENT, type Store } from '../store/store.ts'
import { initAuthority, openAuthority } from '../tenant/authority.ts'
import type { GivenAuthority } from '../tenant/certificate.ts'
import { claimsIdentity, createIdentify } from '../tenant/identify.ts'
import { Roster } from '../tenant/roster.ts'
import { loadSeal, type Seal } from '../tenant/seal.ts'
import { createThrottle } from '../tenant/throttle.ts'
import { DEFAULT_PLAN } from './plans.ts'

const MS = 1000

/** @throws ConfigError with the cure, where the folder can be neither made nor written */
export const prepareState = (state: string): void => {
  try {
    mkdirSync(state, { recursive: true, mode: 0o700 })
    accessSync(state, constants.W_OK)
  } catch (error) {
    throw new ConfigError(
      `state: ${state} cannot be written (${(error as NodeJS.ErrnoException).code}); ` +
        'name a folder that can with --state DIR or BERTH_STATE, or run this as the user that berth runs as',
      { cause: error },
    )
  }
}

const SECRET_PROOF = 'secret'

/** Whoever opens a store first leaves a proof of the secret there: with another one, all its tenants would look forged. */
const checkSecret = async (store: Store, seal: Seal, path: string): Promise<void> => {
  let found = await store.get(SECRET_PROOF)
  if (found === undefined) {
    await store.compareAndSet(SECRET_PROOF, ABSENT, seal.close(SECRET_PROOF, 'berth'))
    found = await store.get(SECRET_PROOF)
  }
  if (found !== undefined && seal.open(SECRET_PROOF, found.value.toString()) !== undefined) return
  throw new Failure(
    'SECRET_UNUSABLE',
    `the tenants of this store belong to another secret than ${path}; copy that file from the state folder of a berth that shares the store`,
  )
}

/** The store and the seal that a config names; the embedded one where it names none. */
export const openRecords = async (
  config: Pick<Config, 'state' | 'store'>,
): Promise<{ store: Store; seal: Seal }> => {
  const path = join(config.state, 'secret')
  // a store elsewhere, and a secret that is here: nothing is to be written, and a mounted secret cannot be
  if (config.store === undefined || !existsSync(path)) prepareState(config.state)
  const seal = loadSeal(path)
  const store = await openStore(config.store ?? lmdbUrl(join(resolve(config.state), 'store')))
  try {
    await checkSecret(store, seal, path)
    return { store, seal }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** The folder of berth's own certificate authorities. */
export const authorityFolder = (config: Pick<Config, 'state'>): string => join(config.state, 'ca')

/** The authorities that a config names, read. Throws ConfigError, naming the file. */
export const givenAuthorities = (config: Pick<Config, 'tls'>): GivenAuthority[] =>
  config.tls.clientAuthorities.map(({ certificate, tenants }) => {
    try {
      const pem = readFileSync(certificate, 'utf8')
      new X509Certificate(pem)
      return { certificate: pem, tenants }
    } catch (error) {
      throw new ConfigError(`tls.clientAuthorities: ${certificate}: ${(error as Error).message}`, {
        cause: error,
      })
    }
  })

export interface Tenancy {
  identify(asked: Pick<Exchange, 'connection' | 'head'>): Asking | Promise<Asking>
  /** Where records outlive the process. */
  readonly records?: { readonly store: Store; readonly seal: Seal }
  close(): Promise<void>
}

/** The id of the tenant whom nobody asks. */
export const ANONYMOUS_ID = 'anonymous'

/** One tenant whom nobody asks. A key that somebody shows all the same cannot be right, and is not passed over. */
export const anonymousTenancy = (profile: string): Tenancy => {
  const anonymous: Asking = {
    id: ANONYMOUS_ID,
    endpoint: DEFAULT_ENDPOINT,
    plan: DEFAULT_PLAN,
    policy: profile,
  }
  return {
    identify: (exchange) => {
      if (claimsIdentity(exchange))
        throw new Failure(
          'UNAUTHENTICATED',
          'this listener knows no keys and no certificates; leave them out',
        )
      return anonymous
    },
    close: async () => {},
  }
}

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
    onForged: (record) =>
      log.error(
        { record },
        'a record in the store was not written by a berth with this secret; it is ignored',
      ),
  })
  store.onState((state) => log.warn({ state }, 'store'))
  const identify = createIdentify({
    roster,
    throttle: createThrottle(),
    clientAuthority: authority.certificate('clients'),
    givenAuthorities: givenAuthorities(config),
    now: Date.now,
  })
  return {
    identify,
    records: { store, seal },
    close: async () => {
      roster.close()
      await store.close()
    },
  }
}
