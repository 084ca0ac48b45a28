/** One running berth: the stages put together, from a Config. */
import type { Logger } from 'pino'
import { isLocalOnly, parseListenAddress } from '../accept/address.ts'
import { Listeners } from '../accept/listener.ts'
import { type Config, ConfigError } from '../config/config.ts'
import { fixedEndpoint } from '../endpoint/fixed.ts'
import { exchanges } from '../observe/events.ts'
import { createLog, logExchanges } from '../observe/log.ts'
import { createServe } from '../proxy.ts'
import { type EngineAddress, parseEngineAddress } from '../upstream/address.ts'
import { Pools } from '../upstream/pool.ts'

const MS = 1000
const ANONYMOUS = { id: 'anonymous' }
/** The API version that berth's own answers name until an engine has told its own. */
const DEFAULT_API_VERSION = '1.51'

export class Berth {
  readonly urls: string[] = []
  readonly log: Logger
  readonly #config: Config
  readonly #pools = new Pools()
  readonly #listeners: Listeners
  readonly #unsubscribe: () => void

  constructor(config: Config) {
    this.#config = config
    this.log = createLog(config.log)
    this.#unsubscribe = config.log === 'silent' ? () => {} : logExchanges(this.log)
    if (!config.anonymous)
      throw new ConfigError(
        'anonymous: tenants cannot be told apart yet; say --anonymous to serve one without asking who it is',
      )
    const endpoint = fixedEndpoint(ANONYMOUS.id, engineOf(config))
    this.#listeners = new Listeners({
      limits: config.limits,
      allowedHosts: new Set(config.allowHost.map((host) => host.toLowerCase())),
      isAnonymous: config.anonymous,
      serve: createServe({ identify: () => ANONYMOUS, ready: () => endpoint, pools: this.#pools }),
      apiVersion: () => this.#pools.apiVersion ?? DEFAULT_API_VERSION,
      refused: (failure, facts, id) => {
        if (!exchanges.isHeard) return
        exchanges.publish({
          id,
          tenant: undefined,
          method: '',
          route: undefined,
          status: failure.status,
          ms: 0,
          remoteAddress: facts.remoteAddress,
          failure: { code: failure.code, message: failure.message, cause: failure.cause },
        })
      },
    })
  }

  /** @throws ConfigError or the system's own error, naming the address */
  async start(): Promise<void> {
    for (const url of this.#config.listen) {
      const address = listenAddressOf(url)
      if (this.#config.anonymous && !isLocalOnly(address)) this.#exposed(url)
      this.urls.push(await this.#listeners.listen(address))
    }
    this.log.info({ listen: this.urls, engine: this.#config.engine }, 'ready')
  }

  #exposed(url: string): void {
    if (!this.#config.force)
      throw new ConfigError(
        `${url}: an anonymous listener gives the engine, and with it this machine, to whoever reaches it; ` +
          'listen on 127.0.0.1 or a unix socket, or say --force',
      )
    this.log.warn({ listen: url }, 'everybody who reaches this address owns the engine behind it')
  }

  /** Takes no new work, waits for what is under way, then closes everything. */
  async stop(): Promise<void> {
    this.log.info({ seconds: this.#config.drainSeconds }, 'draining')
    const cut = await this.#listeners.drain(this.#config.drainSeconds * MS)
    this.#pools.close()
    this.#unsubscribe()
    this.log.info({ cut }, 'stopped')
  }
}

const engineOf = (config: Config): EngineAddress => {
  try {
    return parseEngineAddress(config.engine)
  } catch (error) {
    throw new ConfigError(`engine: ${(error as Error).message}`, { cause: error })
  }
}

const listenAddressOf = (url: string) => {
  try {
    return parseListenAddress(url)
  } catch (error) {
    throw new ConfigError(`listen: ${(error as Error).message}`, { cause: error })
  }
}
