/** The way of a build: which road its gRPC takes, and what is looked at on it. */
import type { Endpoint } from './endpoint/endpoint.ts'
import { Failure } from './errors.ts'
import type { Call, Connection, Exchange } from './exchange.ts'
import { exchanges } from './observe/events.ts'
import { decide } from './policy/decide.ts'
import { judgeSolve, treatmentOf } from './policy/grpc.ts'
import type { Policy } from './policy/policy.ts'
import type { Asking, Stages } from './proxy.ts'
import { metadata, relayCall } from './relay/grpc.ts'
import { channelFor } from './relay/grpc-channels.ts'
import { Claims } from './relay/grpc-claims.ts'
import { tunnel } from './relay/grpc-tunnel.ts'
import { upgradeFor } from './relay/request-head.ts'
import { splice } from './relay/splice.ts'
import { type Matched, match } from './route/match.ts'
import type { Conduit } from './transport/conduit.ts'
import { dial } from './upstream/dial.ts'
import type { GrpcTarget } from './upstream/h2.ts'
import type { Pool } from './upstream/pool.ts'
import { fieldValue, NO_BODY, type RequestHead, type ResponseHead } from './wire/head.ts'

/**
 * - `opaque`: the connection is spliced, and nothing of it is read
 * - `judged`: HTTP/2 ends here, and each call is looked at
 */
export type GrpcRoad = 'opaque' | 'judged' | { readonly refuse: Failure }

/** What is known of whoever builds, where the request has come so far. */
export interface Build {
  readonly tenant: Asking
  readonly policy: Policy
  readonly endpoint: Endpoint
  readonly pool: Pool
}

/** The route that every way of building goes by: its policy and its charge are those of gRPC, however it came. */
export const GRPC: Matched = match('POST', '/grpc')
const SESSION_ID = 'x-docker-expose-session-uuid'
const EMPTY = Buffer.alloc(0)

/** Where nothing that a build can ask for reaches beyond the tenant's own engine, it need not be read. */
export const roadOf = (policy: Policy): GrpcRoad => {
  if (policy.profile === 'open' || policy.mode === 'audit') return 'opaque'
  if (policy.profile === 'dedicated') return 'judged'
  return {
    refuse: new Failure(
      'POLICY_DENIED',
      "the builder of this engine shows everybody's builds; build elsewhere and push, or build with DOCKER_BUILDKIT=0",
    ),
  }
}

/** What a call is charged as: a build lasts as long as its Solve, and all other calls belong to one. */
export const chargedAs = (exchange: Exchange, matched: Matched): string =>
  exchange.call === undefined || exchange.call.method.endsWith('.Control/Solve')
    ? matched.route.id
    : 'grpc.call'

export class Builds {
  readonly #claims = new Claims()
  readonly #roadOf: (policy: Policy, endpoint: Endpoint) => GrpcRoad

  constructor(road: (policy: Policy, endpoint: Endpoint) => GrpcRoad = roadOf) {
    this.#roadOf = road
  }

  /**
   * Sessions bring files and secrets to builds: an id is the tenant's who named it first.
   * @throws Failure POLICY_DENIED
   */
  claim(exchange: Exchange, { route, query }: Matched, { tenant, endpoint }: Build): void {
    const id =
      route.id === 'session.open'
        ? fieldValue(exchange.head, SESSION_ID)
        : query.get('session')?.[0]
    if (id !== undefined && SESSION_ROUTES.has(route.id)) this.#claim(id, tenant, endpoint)
  }

  #claim(id: string, tenant: Asking, { address }: Endpoint): void {
    this.#claims.claim(JSON.stringify(address), id, tenant.id)
  }

  /** POST /grpc, or one call. `opaquely` relays the upgrade as any other. */
  async serve(exchange: Exchange, build: Build, opaquely: () => Promise<void>): Promise<void> {
    const { call } = exchange
    const road = this.#roadOf(build.policy, build.endpoint)
    if (typeof road === 'object') throw road.refuse
    if (call !== undefined) return this.#serveCall(exchange, call, build, road)
    if (exchange.canHijack) upgradeFor('h2c', exchange.head)
    if (!exchange.canHijack || (road === 'opaque' && build.endpoint.build === undefined))
      return opaquely()
    if (road === 'judged') return exchange.speakH2()
    const builder = await dial(build.endpoint.build as NonNullable<Endpoint['build']>)
    if (exchange.isGone) return builder.destroy()
    exchange.hijack(SWITCHED, EMPTY)
    await splice(exchange.client, builder)
  }

  async #serveCall(
    exchange: Exchange,
    call: Call,
    build: Build,
    road: 'opaque' | 'judged',
  ): Promise<void> {
    const judge = road === 'judged' ? this.#judgeOf(call, build) : undefined
    await relayCall(exchange, call, () => channelFor(exchange.connection, targetOf(build)), judge)
  }

  /** @throws Failure POLICY_DENIED for a call that is not served at all */
  #judgeOf(call: Call, { tenant, endpoint }: Build): ((message: Buffer) => void) | undefined {
    const treatment = treatmentOf(call.method)
    if (treatment === 'session') {
      const id = metadata(call, SESSION_ID)
      if (id !== undefined) this.#claim(id, tenant, endpoint)
    }
    if (treatment !== 'solve') return undefined
    return (message) => {
      const { ref, sessions } = judgeSolve(message)
      for (const id of [ref, ...sessions]) if (id !== '') this.#claim(id, tenant, endpoint)
    }
  }

  /** Where a connection that speaks gRPC from its first byte may be spliced into, or undefined where it has to be read. */
  targetFor(build: Build): GrpcTarget | undefined {
    return this.#roadOf(build.policy, build.endpoint) === 'opaque' ? targetOf(build) : undefined
  }
}

const targetOf = ({ endpoint, pool }: Build): GrpcTarget =>
  endpoint.build === undefined
    ? { kind: 'engine', pool }
    : { kind: 'buildkitd', address: endpoint.build }

const SESSION_ROUTES: ReadonlySet<string> = new Set(['session.open', 'build.start'])

const SWITCHED: ResponseHead = {
  status: 101,
  fields: '',
  framing: NO_BODY,
  announcedLength: undefined,
  keepAlive: false,
  upgrade: 'h2c',
  apiVersion: undefined,
}

/** What a connection asks that has not asked anything yet: only TLS can tell whose it is. */
const NO_REQUEST: RequestHead = {
  method: 'POST',
  target: '/grpc',
  minor: 1,
  fields: [],
  framing: NO_BODY,
  keepAlive: false,
  upgrade: undefined,
  expectsContinue: false,
}

/**
 * Splices a connection whose first request is a gRPC call, if it may be.
 * @returns false where HTTP/2 has to end here, because calls are judged or the connection does not say whose it is
 * @throws Failure: what every call on the connection is to be answered with
 */
export const createTunnel =
  (stages: Stages, builds: Builds) =>
  async (client: Conduit, connection: Connection, id: string): Promise<boolean> => {
    const started = performance.now()
    const tenant = await identify(stages, connection)
    if (tenant === undefined) return false
    const policy = stages.policy(tenant, GRPC)
    decide(policy, GRPC.route, GRPC.query)
    const release = await stages.admit(tenant, GRPC.route.id)
    try {
      const endpoint = await stages.ready(tenant)
      const pool = stages.pools.of(endpoint.key, endpoint.address)
      const target = builds.targetFor({ tenant, policy, endpoint, pool })
      if (target === undefined || client.isGone) {
        release()
        return false
      }
      const { spliced } = await tunnel(client, target)
      void spliced.then(() => {
        release()
        publish(id, tenant, connection, performance.now() - started)
      })
      return true
    } catch (error) {
      release()
      throw error
    }
  }

const identify = async (stages: Stages, connection: Connection): Promise<Asking | undefined> => {
  try {
    return await stages.identify({ connection, head: NO_REQUEST })
  } catch (error) {
    // its calls may still say so, each for itself; those that do not are answered with the cure
    if (error instanceof Failure && error.code === 'UNAUTHENTICATED') return undefined
    throw error
  }
}

const publish = (id: string, tenant: Asking, connection: Connection, ms: number): void => {
  if (!exchanges.isHeard) return
  exchanges.publish({
    id,
    tenant: tenant.id,
    method: 'PRI',
    route: GRPC.route.template,
    status: 101,
    ms,
    remoteAddress: connection.remoteAddress,
    failure: undefined,
  })
}
