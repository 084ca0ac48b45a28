/** The way of a request, in six words: start reading here. */

import type { Endpoint } from './endpoint/endpoint.ts'
import { Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { exchanges } from './observe/events.ts'
import type { BodyPlan, Errand } from './relay/errand.ts'
import { relay } from './relay/relay.ts'
import { rescue } from './relay/rescue.ts'
import { acceptsContentType } from './route/content-type.ts'
import { type Matched, match } from './route/match.ts'
import type { Route } from './route/route.ts'
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
}

/** What stands behind the words of `serve`. */
export interface Stages {
  identify(exchange: Exchange): Asking | Promise<Asking>
  /** Waits for the tenant's turn, where quotas make him wait; what it returns is called when the request is over. */
  admit(tenant: Asking, routeId: string): Release | Promise<Release>
  ready(tenant: Asking): Endpoint | Promise<Endpoint>
  readonly pools: Pools
}

/** JSON bodies are read whole; no docker client sends a tenth of this. */
const JSON_CAP = 4 << 20

/** The whole way of a request. What is returned never rejects: a failure has become an answer by then. */
export const createServe =
  (stages: Stages) =>
  async (exchange: Exchange): Promise<void> => {
    const started = performance.now()
    const { head } = exchange
    let tenant: Asking | undefined
    let matched: Matched | undefined
    let failure: Failure | undefined
    let release: Release | undefined
    try {
      tenant = await stages.identify(exchange) // who is asking
      matched = match(head.method, head.target) // what for
      release = await stages.admit(tenant, matched.route.id) // is it his turn
      const endpoint = await stages.ready(tenant) // where it lives
      const pool = stages.pools.of(endpoint.key, endpoint.address)
      await relay(exchange, pool, errandOf(exchange, matched, pool.learned.apiVersion)) // let it through
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

const errandOf = (exchange: Exchange, matched: Matched, learned: string | undefined): Errand => {
  const { route } = matched
  const hasBody = exchange.head.framing.kind !== 'none'
  const contentType = acceptsContentType(route, fieldValue(exchange.head, 'content-type'), hasBody)
  // A path without a version means the engine's newest: said explicitly as soon as it is known
  const version = matched.version === '' && learned !== undefined ? `v${learned}` : matched.version
  return {
    method: route.method,
    target: targetOf(matched, version),
    contentType: hasBody ? contentType : undefined,
    fieldClasses: fieldClassesOf(route),
    hijack: route.hijack,
    plan: planOf(matched, contentType !== undefined, hasBody),
  }
}

const planOf = ({ route, query }: Matched, saysJson: boolean, hasBody: boolean): BodyPlan => {
  if (route.body === 'none') return NONE
  if (route.body === 'tar') return STREAM
  if (route.body === 'import') return query.get('fromSrc')?.[0] === '-' ? STREAM : NONE
  if (saysJson && !hasBody) throw new Failure('MALFORMED_BODY', 'it is empty, and JSON is not')
  return JUDGE
}

const NONE: BodyPlan = { kind: 'none' }
const STREAM: BodyPlan = { kind: 'stream' }
const JUDGE: BodyPlan = { kind: 'judge', cap: JSON_CAP, judge: (body) => body }

const classes = (...names: RequestFieldClass[]): ReadonlySet<RequestFieldClass> => new Set(names)
const BARE = classes()
const TRANSFER = classes('transfer')
const SESSION = classes('session')
const WEBSOCKET = classes('websocket')
const REGISTRY = classes('registry')

/** Which request fields go along, by what the route does. */
const fieldClassesOf = (route: Route): ReadonlySet<RequestFieldClass> => {
  if (route.hijack === 'h2c') return SESSION
  if (route.hijack === 'websocket') return WEBSOCKET
  if (route.answer === 'tar') return TRANSFER
  return TALKS_TO_REGISTRIES.test(route.id) ? REGISTRY : BARE
}
const TALKS_TO_REGISTRIES = /^(?:image|build|plugin|service|distribution)\./
