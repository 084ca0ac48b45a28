/** The way of a request, in six words: start reading here. */

import type { Endpoint } from './endpoint/endpoint.ts'
import type { Origins } from './endpoint/origins.ts'
import type { Exchange } from './exchange.ts'
import { exchanges } from './observe/events.ts'
import { decide, type Permit } from './policy/decide.ts'
import type { Policy } from './policy/policy.ts'
import { type Note, notesOf } from './proxy-audit.ts'
import { type Asked, askedBy, errandOf, type Ruling } from './proxy-errand.ts'
import { type Build, type Builds, chargedAs, GRPC } from './proxy-grpc.ts'
import { isStartJudged, judgeStart } from './proxy-images.ts'
import { judgeObjects } from './proxy-judged.ts'
import { relay, relayed, type Sender } from './relay/relay.ts'
import { rescue } from './relay/rescue.ts'
import type { Matched } from './route/match.ts'
import type { Release } from './tenant/gate.ts'
import type { Pool, Pools } from './upstream/pool.ts'

/** Who asks: all that the stages behind identify need to know. */
export interface Asking {
  readonly id: string
  /** The name or address of his engine. */
  readonly endpoint: string
  readonly plan: string
  readonly policy: string
}

/** What stands behind the words of `serve`. */
export interface Stages {
  identify(asked: Pick<Exchange, 'connection' | 'head'>): Asking | Promise<Asking>
  /** The rules that hold for this request. */
  policy(tenant: Asking, matched: Matched): Policy
  /** Waits for the tenant's turn, where quotas make him wait; what it returns is called when the request is over. */
  admit(tenant: Asking, routeId: string): Release | Promise<Release>
  ready(tenant: Asking): Endpoint | Promise<Endpoint>
  readonly pools: Pools
  /** Where the images of each engine came from. */
  readonly origins: Origins
  /** Of a JSON body, in bytes. */
  readonly bodyCap: number
}

export const createServe =
  (stages: Stages, builds: Builds) =>
  (exchange: Exchange): void =>
    new Passage(stages, builds, exchange).begin()

/**
 * The whole way of one request, a method for each stretch that need not wait. Nothing of it throws: a failure becomes an
 * answer. Stages are waited for only where they say so, as promises would cost every request a third of a microsecond.
 */
class Passage implements Sender, Ruling {
  readonly #stages: Stages
  readonly #builds: Builds
  readonly #exchange: Exchange
  /** In ms, or 0 where nobody wants to know. */
  readonly #started = exchanges.isHeard ? performance.now() : 0
  #isOver = false
  // what the stages have given; each is there once its stage has been passed
  #tenant!: Asking
  #asked!: Asked
  policy!: Policy
  note: Note | undefined
  permit!: Permit
  #release: Release | undefined
  #endpoint!: Endpoint
  pool!: Pool

  constructor(stages: Stages, builds: Builds, exchange: Exchange) {
    this.#stages = stages
    this.#builds = builds
    this.#exchange = exchange
  }

  begin(): void {
    try {
      this.#goOn(this.#stages.identify(this.#exchange), this.#decide) // who is asking
    } catch (error) {
      this.over(error)
    }
  }

  #goOn<Given>(given: Given | Promise<Given>, next: (this: Passage, given: Given) => void): void {
    if (given instanceof Promise) this.#wait(given, next)
    else next.call(this, given)
  }

  #wait<Given>(given: Promise<Given>, next: (this: Passage, given: Given) => void): void {
    given.then((value) => next.call(this, value)).catch((error) => this.over(error))
  }

  #decide(tenant: Asking): void {
    const stages = this.#stages
    const exchange = this.#exchange
    this.#tenant = tenant
    this.#asked = askedBy(exchange) // what for
    const { matched } = this.#asked
    this.policy = stages.policy(tenant, matched)
    this.note = notesOf(exchange, tenant, matched, this.policy)
    this.permit = decide(this.policy, matched.route, matched.query, stages.bodyCap, this.note) // may they
    this.#goOn(stages.admit(tenant, chargedAs(exchange, matched)), this.#find) // is it their turn
  }

  #find(release: Release): void {
    this.#release = release
    this.#goOn(this.#stages.ready(this.#tenant), this.#send) // where it lives
  }

  #send(endpoint: Endpoint): void {
    this.#endpoint = endpoint
    this.pool = this.#stages.pools.of(endpoint.key, endpoint.address)
    this.#builds.claim(this.#exchange, this.#asked.matched, this.#tenant, endpoint)
    const isLookedAt =
      this.permit.references.length > 0 || isStartJudged(this.policy, this.#asked.matched)
    if (isLookedAt) this.#wait(this.#lookAtObjects(), this.#relay)
    else this.#relay()
  }

  async #lookAtObjects(): Promise<void> {
    const { policy, note } = this
    const { matched } = this.#asked
    await judgeObjects(policy, this, this.permit, note)
    if (isStartJudged(policy, matched))
      this.#asked = { matched: await judgeStart(policy, this, matched, note), plain: undefined }
  }

  #relay(): void {
    const exchange = this.#exchange
    const asked = this.#asked
    if (asked.matched.route === GRPC.route) this.#build()
    else relay(exchange, this.pool, errandOf(exchange, asked, this), this) // let it through
  }

  #build(): void {
    const exchange = this.#exchange
    const { pool, policy, note } = this
    const build: Build = { tenant: this.#tenant, policy, endpoint: this.#endpoint, pool, note }
    const opaquely = () => relayed(exchange, pool, errandOf(exchange, this.#asked, this))
    this.#wait(this.#builds.serve(exchange, build, opaquely), this.over)
  }

  get version(): string {
    return this.#asked.matched.version || `v${this.pool.learned.apiVersion ?? OLDEST_ASKED}`
  }

  get name(): string {
    return this.#endpoint.key
  }

  get origins(): Origins {
    return this.#stages.origins
  }

  get isGone(): boolean {
    return this.#exchange.isGone
  }

  /** The request is over: served, or failed with `error`, which the client is told as far as it can be. */
  over(error?: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    const exchange = this.#exchange
    const failure = error === undefined ? undefined : rescue(exchange, error)
    this.#release?.()
    if (this.#started === 0) return // nobody listened when it began
    exchanges.publish({
      id: exchange.id,
      tenant: this.#tenant?.id,
      method: exchange.head.method,
      route: this.#asked?.matched.route.template,
      status: exchange.status,
      ms: performance.now() - this.#started,
      remoteAddress: exchange.connection.remoteAddress,
      failure: failure && { code: failure.code, message: failure.message, cause: failure.cause },
    })
  }
}

/** What berth itself asks in, where neither the client nor the engine has said a version: all engines know it. */
const OLDEST_ASKED = '1.41'
