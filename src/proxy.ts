/** The way of a request, in six words: start reading here. */

import type { Endpoint } from './endpoint/endpoint.ts'
import type { Origins } from './endpoint/origins.ts'
import type { Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { exchanges } from './observe/events.ts'
import { type DecideOptions, decide } from './policy/decide.ts'
import type { Policy } from './policy/policy.ts'
import { type Note, notesOf } from './proxy-audit.ts'
import { type Asked, askedBy, errandOf, type Ruling } from './proxy-errand.ts'
import { type Build, type Builds, chargedAs, GRPC } from './proxy-grpc.ts'
import { judgeObjects } from './proxy-judged.ts'
import { relay } from './relay/relay.ts'
import { rescue } from './relay/rescue.ts'
import type { Matched } from './route/match.ts'
import type { Release } from './tenant/gate.ts'
import type { Pools } from './upstream/pool.ts'

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

/**
 * The whole way of a request. What is returned never rejects: a failure has become an answer by then. Stages that need
 * not wait are not waited for: each `await` costs a turn of the event loop's microtasks, on every request.
 */
export const createServe = (stages: Stages, builds: Builds) => {
  const limits = { bodyCap: stages.bodyCap }
  const optionsFor = (note: Note | undefined): DecideOptions =>
    note === undefined ? limits : { ...limits, onDecision: note }
  return async (exchange: Exchange): Promise<void> => {
    const started = performance.now()
    const { head } = exchange
    let tenant: Asking | undefined
    let matched: Matched | undefined
    let failure: Failure | undefined
    let release: Release | undefined
    try {
      const asking = stages.identify(exchange) // who is asking
      tenant = asking instanceof Promise ? await asking : asking
      const asked = askedBy(exchange) // what for
      matched = asked.matched
      const policy = stages.policy(tenant, matched)
      const note = notesOf(exchange, tenant, matched, policy)
      const permit = decide(policy, matched.route, matched.query, optionsFor(note)) // may they
      const turn = stages.admit(tenant, chargedAs(exchange, matched)) // is it their turn
      release = turn instanceof Promise ? await turn : turn
      const place = stages.ready(tenant) // where it lives
      const endpoint = place instanceof Promise ? await place : place
      const pool = stages.pools.of(endpoint.key, endpoint.address)
      builds.claim(exchange, matched, tenant, endpoint)
      const ruling: Ruling = {
        pool,
        version: matched.version || `v${pool.learned.apiVersion ?? OLDEST_ASKED}`,
        name: endpoint.key,
        origins: stages.origins,
        permit,
        policy,
        note,
      }
      if (permit.references.length > 0) await judgeObjects(policy, ruling, permit, note)
      if (matched.route === GRPC.route) {
        const build: Build = { tenant, policy, endpoint, pool, note }
        await serveBuild(exchange, builds, build, asked, ruling)
      } else {
        await relay(exchange, pool, errandOf(exchange, asked, ruling)) // let it through
      }
    } catch (error) {
      failure = rescue(exchange, error)
    }
    release?.()
    if (!exchanges.isHeard) return
    exchanges.publish({
      id: exchange.id,
      tenant: tenant?.id,
      method: head.method,
      route: matched?.route.template,
      status: exchange.status,
      ms: performance.now() - started,
      remoteAddress: exchange.connection.remoteAddress,
      failure: failure && { code: failure.code, message: failure.message, cause: failure.cause },
    })
  }
}

/** A function of its own: a closure among those above would cost every request that is no build. */
const serveBuild = (
  exchange: Exchange,
  builds: Builds,
  build: Build,
  asked: Asked,
  ruling: Ruling,
): Promise<void> =>
  builds.serve(exchange, build, () =>
    relay(exchange, build.pool, errandOf(exchange, asked, ruling)),
  )

/** What berth itself asks in, where neither the client nor the engine has said a version: all engines know it. */
const OLDEST_ASKED = '1.41'
