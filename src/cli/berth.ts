/** One running berth: the stages put together, from a Config. */
import ipaddr from 'ipaddr.js'
import type { Logger } from 'pino'
import { isLocalOnly, type ListenAddress, parseListenAddress } from '../accept/address.ts'
import { type CertificateSource, Certificates } from '../accept/certificates.ts'
import { Listeners } from '../accept/listener.ts'
import { TlsTerminator } from '../accept/tls.ts'
import { type Config, ConfigError } from '../config/config.ts'
import { createDirectory } from '../endpoint/directory.ts'
import { Origins } from '../endpoint/origins.ts'
import { exchanges } from '../observe/events.ts'
import { createLog, logEvents } from '../observe/log.ts'
import { DEFAULT_BODY_CAP } from '../policy/decide.ts'
import { createServe, type Stages } from '../proxy.ts'
import { Builds, createTunnel } from '../proxy-grpc.ts'
import { type Authority, initAuthority, openAuthority } from '../tenant/authority.ts'
import { chargeFor } from '../tenant/charge.ts'
import { Gate, isUnlimited } from '../tenant/gate.ts'
import { payerOf } from '../tenant/throttle.ts'
import { engineIdentity, parseEngineAddress } from '../upstream/address.ts'
import { Pools } from '../upstream/pool.ts'
import { namedEngines } from './engines.ts'
import { naming } from './naming.ts'
import { planOf } from './plans.ts'
import { createPolicyFor } from './policies.ts'
import {
  anonymousTenancy,
  authorityFolder,
  givenAuthorities,
  storedTenancy,
  type Tenancy,
} from './tenancy.ts'
import { isWorker, takeFromPrimary } from './workers.ts'

const MS = 1000
const DAY = 86_400 * MS
/** berth's own listener certificates are made at each start: long enough for a process that is never restarted. */
const LISTENER_LIFETIME = 825 * DAY
/** The API version that berth's own answers name until an engine has told its own. */
const DEFAULT_API_VERSION = '1.51'

export class Berth {
  readonly urls: string[] = []
  readonly log: Logger
  readonly #config: Config
  readonly #pools = new Pools()
  readonly #tenancy: Tenancy
  readonly #tls: TlsTerminator | undefined
  readonly #listeners: Listeners
  readonly #unsubscribe: () => void

  /** @throws ConfigError, or a Failure of store, secret or authority */
  static async create(config: Config): Promise<Berth> {
    const log = createLog(config.log)
    checkListeners(config, log)
    const tenancy = config.anonymous
      ? anonymousTenancy(config.profile)
      : await storedTenancy(config, log)
    const tls = config.listen.some((url) => url.startsWith('tls:'))
      ? await terminator(config, log)
      : undefined
    return new Berth(config, log, tenancy, tls)
  }

  private constructor(
    config: Config,
    log: Logger,
    tenancy: Tenancy,
    tls: TlsTerminator | undefined,
  ) {
    this.#config = config
    this.log = log
    this.#tenancy = tenancy
    this.#tls = tls
    const stages = stagesOf(config, tenancy, this.#pools)
    const builds = new Builds()
    this.#listeners = new Listeners({
      limits: config.limits,
      allowedHosts: new Set(config.allowedHosts.map((host) => host.toLowerCase())),
      isAnonymous: config.anonymous,
      isBalancer: within(config.balancers),
      tls,
      payerOf,
      serve: createServe(stages, builds),
      tunnel: createTunnel(stages, builds),
      apiVersion: () => this.#pools.apiVersion ?? DEFAULT_API_VERSION,
      refused: (failure, { remoteAddress }, id) => {
        if (!exchanges.isHeard) return
        const { code, message, cause, status } = failure
        exchanges.publish({
          id,
          tenant: undefined,
          method: undefined,
          route: undefined,
          status,
          ms: 0,
          remoteAddress,
          failure: { code, message, cause },
        })
      },
    })
    // last: what could not be made has nobody who would end this
    this.#unsubscribe = config.log === 'silent' ? () => {} : logEvents(log)
  }

  /** How long what is under way may go on when it is stopped. */
  get drainSeconds(): number {
    return this.#config.drainSeconds
  }

  /** @throws ListenError; nothing is left of it then */
  async start(): Promise<void> {
    if (isWorker()) takeFromPrimary(this.#listeners.take)
    else await this.#listen()
    this.log.info({ listen: this.urls }, 'ready')
  }

  /**
   * Takes no new work, waits for what is under way, then closes everything.
   * @param now resolves when nothing is to be waited for any more
   */
  async stop(now?: Promise<unknown>): Promise<void> {
    this.log.info({ seconds: this.#config.drainSeconds }, 'draining')
    const cut = await this.#listeners.drain(this.#config.drainSeconds * MS, now)
    await this.#close()
    this.log.info({ cut }, 'stopped')
  }

  async #listen(): Promise<void> {
    try {
      this.urls.push(...(await this.#listeners.listen(listenAddresses(this.#config))))
    } catch (error) {
      await this.#listeners.drain(0)
      await this.#close()
      throw error
    }
  }

  async #close(): Promise<void> {
    this.#pools.close()
    this.#tls?.close()
    await this.#tenancy.close()
    this.#unsubscribe()
  }
}

// === the stages ===

const stagesOf = (config: Config, tenancy: Tenancy, pools: Pools): Stages => {
  const endpointOf = createDirectory({ named: namedEngines(config), parse: parseEngineAddress })
  const gate = new Gate(() => performance.now())
  return {
    identify: tenancy.identify,
    policy: createPolicyFor(config),
    admit: (tenant, routeId) => {
      const charge = chargeFor(routeId)
      if (charge === undefined) return nothingToRelease
      const ofTenant = planOf(config, tenant.plan)
      const ofEngine = config.engineLimits
      if (isUnlimited(ofTenant) && isUnlimited(ofEngine)) return nothingToRelease
      return gate.enter({
        tenant: tenant.id,
        engine: engineIdentity(endpointOf(tenant).address),
        ofTenant,
        ofEngine,
        weight: charge.weight,
        patience: charge.patience,
      })
    },
    ready: endpointOf,
    pools,
    origins: new Origins(tenancy.records),
    bodyCap: Number(config.bodyCap ?? DEFAULT_BODY_CAP),
  }
}

const nothingToRelease = (): void => {}

// === what a config must not say ===

/** @throws ConfigError */
export const listenAddresses = (config: Config): ListenAddress[] =>
  config.listen.map((url) => naming('listen', () => parseListenAddress(url)))

const checkListeners = (config: Config, log: Logger): void => {
  if (config.anonymous && config.engine === undefined)
    throw new ConfigError('engine: name one, for example unix:///var/run/docker.sock')
  for (const address of listenAddresses(config)) {
    if (isLocalOnly(address) || !config.anonymous) continue
    const { url } = address
    if (!config.force)
      throw new ConfigError(
        `listen: ${url}: an anonymous listener gives the engine, and with it this machine, to whoever reaches it; ` +
          'listen on 127.0.0.1 or a unix socket, or say --force',
      )
    log.warn({ listen: url }, 'everybody who reaches this address owns the engine behind it')
  }
}

/** True for addresses in one of `networks`, of either family. */
const within = (networks: readonly string[]): ((address: string) => boolean) => {
  const ranges = networks.map((network) => naming('balancers', () => ipaddr.parseCIDR(network)))
  return (address) => {
    if (ranges.length === 0) return false
    const parsed = ipaddr.process(address)
    return ranges.some(
      ([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits),
    )
  }
}

// === TLS ===

/** The certificates that a config names, or one of berth's own for the names that it has. */
const certificatesOf = async (
  config: Config,
  authority: Authority,
): Promise<[CertificateSource, ...CertificateSource[]]> => {
  const [first, ...others] = config.tls.certificates.map(
    (files, at) => ({ kind: 'files', name: `tls.certificates.${at}`, ...files }) as const,
  )
  if (first !== undefined) return [first, ...others]
  const names = [
    ...config.domain.flatMap((name) => [name, `*.${name}`]),
    'localhost',
    '*.localhost',
    '127.0.0.1',
    '::1',
  ]
  const issued = await authority.issueServer('listeners', names, LISTENER_LIFETIME)
  return [{ kind: 'text', certificate: issued.certificate + issued.ca, key: issued.key }]
}

const terminator = async (config: Config, log: Logger): Promise<TlsTerminator> => {
  await initAuthority(authorityFolder(config), Date.now())
  const authority = await openAuthority(authorityFolder(config), Date.now)
  const sources = await certificatesOf(config, authority)
  const onError = (error: Error): void =>
    log.error({ reason: error.message }, 'a certificate has become unusable; the one before stays')
  const given = givenAuthorities(config).map(({ certificate }) => certificate)
  const trusted = [authority.certificate('clients'), ...given]
  const certificates = new Certificates(sources, trusted, onError)
  return new TlsTerminator(certificates)
}
