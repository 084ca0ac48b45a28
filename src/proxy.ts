/** The way of a request, in six words: start reading here. */

import type { Endpoint } from './endpoint/endpoint.ts'
import type { Origins } from './endpoint/origins.ts'
import { Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { exchanges } from './observe/events.ts'
import { type DecideOptions, decide, type Permit } from './policy/decide.ts'
import type { Policy } from './policy/policy.ts'
import { type Note, notesOf } from './proxy-audit.ts'
import { type Build, type Builds, chargedAs, GRPC } from './proxy-grpc.ts'
import { type Engine, pullWatchFor } from './proxy-images.ts'
import { type Judgeable, Judged, judgeObjects } from './proxy-judged.ts'
import type { BodyPlan, Errand } from './relay/errand.ts'
import { relay } from './relay/relay.ts'
import { rescue } from './relay/rescue.ts'
import { acceptsContentType } from './route/content-type.ts'
import { type Matched, match } from './route/match.ts'
import type { Route } from './route/route.ts'
import { ROUTES } from './route/routes.ts'
import { targetOf } from './route/target.ts'
import type { Release } from './tenant/gate.ts'
import type { Pools } from './upstream/pool.ts'
import type { RequestFieldClass } from './wire/fields.ts'
import { fieldValue } from './wire/head.ts'

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
      matched = exchange.call ? GRPC : match(head.method, head.target) // what for
      const policy = stages.policy(tenant, matched)
      const note = notesOf(exchange, tenant, matched, policy)
      const permit = decide(policy, matched.route, matched.query, optionsFor(note)) // may they
      const turn = stages.admit(tenant, chargedAs(exchange, matched)) // is it their turn
      release = turn instanceof Promise ? await turn : turn
      const place = stages.ready(tenant) // where it lives
      const endpoint = place instanceof Promise ? await place : place
      const pool = stages.pools.of(endpoint.key, endpoint.address)
      builds.claim(exchange, matched, tenant, endpoint)
      const engine: Engine = {
        pool,
        version: matched.version || `v${pool.learned.apiVersion ?? OLDEST_ASKED}`,
        name: endpoint.key,
        origins: stages.origins,
      }
      if (permit.references.length > 0) await judgeObjects(policy, engine, permit, note)
      if (matched.route === GRPC.route) {
        const build: Build = { tenant, policy, endpoint, pool, note }
        await serveBuild(exchange, builds, build, matched, permit, engine)
      } else {
        const errand = errandOf(exchange, matched, permit, policy, engine, note)
        await relay(exchange, pool, errand) // let it through
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
  matched: Matched,
  permit: Permit,
  engine: Engine,
): Promise<void> =>
  builds.serve(exchange, build, () => {
    const errand = errandOf(exchange, matched, permit, build.policy, engine, build.note)
    return relay(exchange, build.pool, errand)
  })

/** What berth itself asks in, where neither the client nor the engine has said a version: all engines know it. */
const OLDEST_ASKED = '1.41'

const JSON_TYPE = 'application/json'

const errandOf = (
  exchange: Exchange,
  matched: Matched,
  permit: Permit,
  policy: Policy,
  engine: Engine,
  note: Note | undefined,
): Errand => {
  const { route } = matched
  const { apiVersion } = engine.pool.learned
  const hasBody = exchange.head.framing.kind !== 'none'
  const contentType = acceptsContentType(route, fieldValue(exchange.head, 'content-type'), hasBody)
  // A path without a version means the engine's newest: said explicitly as soon as it is known
  const version =
    matched.version === '' && apiVersion !== undefined ? `v${apiVersion}` : matched.version
  const { plan } = permit
  const isJudged = plan.kind === 'judge' || plan.kind === 'rewrite'
  if (isJudged && contentType !== undefined && !hasBody)
    throw new Failure('MALFORMED_BODY', 'it is empty, and JSON is not')
  const judged = isJudged ? new Judged(policy, engine, note) : undefined
  const isPull = route.id === 'image.create'
  // one literal, always of one shape: whoever reads it on the hot path finds its members where they always were
  return {
    method: route.method,
    target: targetOf(matched, version, permit.query),
    contentType: hasBody || isJudged ? (contentType ?? JSON_TYPE) : undefined,
    fieldClasses: fieldClassesOf(route),
    hijack: route.hijack,
    plan: judged === undefined ? (plan as BodyPlan) : judged.planFor(plan as Judgeable),
    amend: judged?.amend,
    watch: isPull ? pullWatchFor(policy, engine, permit.query) : undefined,
  }
}

const classes = (...names: RequestFieldClass[]): ReadonlySet<RequestFieldClass> => new Set(names)
const BARE = classes()
const TRANSFER = classes('transfer')
const SESSION = classes('session')
const WEBSOCKET = classes('websocket')
const REGISTRY = classes('registry')

/** Which request fields go along, by what the route does. */
const fieldClassesOf = (route: Route): ReadonlySet<RequestFieldClass> =>
  FIELD_CLASSES.get(route.id) ?? BARE

const TALKS_TO_REGISTRIES = /^(?:image|build|plugin|service|distribution)\./

const classesFor = (route: Route): ReadonlySet<RequestFieldClass> => {
  if (route.hijack === 'h2c') return SESSION
  if (route.hijack === 'websocket') return WEBSOCKET
  if (route.answer === 'tar') return TRANSFER
  return TALKS_TO_REGISTRIES.test(route.id) ? REGISTRY : BARE
}

const FIELD_CLASSES: ReadonlyMap<string, ReadonlySet<RequestFieldClass>> = new Map(
  ROUTES.map((route) => [route.id, classesFor(route)]),
)
