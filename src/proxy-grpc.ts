/** The way of a build: which road its gRPC takes, and what is looked at on it. */
import { randomUUID } from 'node:crypto'
import type { Endpoint } from './endpoint/endpoint.ts'
import { Failure } from './errors.ts'
import type { Call, Connection, Exchange } from './exchange.ts'
import { exchanges } from './observe/events.ts'
import { decide } from './policy/decide.ts'
import {
  isNotGranted,
  readSolve,
  refuseAttributes,
  refuseEntitlements,
  SOLVE_METHOD,
  solvesForEntitlements,
  type Treatment,
  treatmentOf,
} from './policy/grpc.ts'
import type { Policy } from './policy/policy.ts'
import type { Asking, Stages } from './proxy.ts'
import { type Note, noteOrThrow, notesOf } from './proxy-audit.ts'
import { type Judge, metadata, relayCall } from './relay/grpc.ts'
import { channelFor } from './relay/grpc-channels.ts'
import { Claims } from './relay/grpc-claims.ts'
import { Grants } from './relay/grpc-grants.ts'
import { tunnel } from './relay/grpc-tunnel.ts'
import { upgradeFor } from './relay/request-head.ts'
import { type Matched, match } from './route/match.ts'
import type { Conduit } from './transport/conduit.ts'
import { printEngineAddress } from './upstream/address.ts'
import type { GrpcTarget } from './upstream/h2.ts'
import type { Pool } from './upstream/pool.ts'
import { fieldValue, NO_BODY, type RequestHead } from './wire/head.ts'

/**
 * - `opaque`: the connection is spliced, and nothing of it is read
 * - `judged`: HTTP/2 ends here, and each call is looked at
 */
type GrpcRoad = 'opaque' | 'judged'

/** What is known of whoever builds, where the request has come so far. */
export interface Build {
  readonly tenant: Asking
  readonly policy: Policy
  readonly endpoint: Endpoint
  readonly pool: Pool
  readonly note: Note | undefined
}

/** The route that every way of building goes by: its policy and its charge are those of gRPC, however it came. */
export const GRPC: Matched = match('POST', '/grpc')
const SESSION_ID = 'x-docker-expose-session-uuid'

/** Everybody's builds are seen by whoever may build there at all. */
const refusalOf = ({ profile }: Policy): Failure | undefined =>
  profile === 'shared'
    ? new Failure(
        'POLICY_DENIED',
        "the builder of this engine shows everybody's builds; build elsewhere and push, or build with DOCKER_BUILDKIT=0",
      )
    : undefined

/** What a call is charged as: a build lasts as long as its Solve, and all other calls belong to one. */
export const chargedAs = (exchange: Exchange, matched: Matched): string =>
  exchange.call === undefined || exchange.call.method.endsWith('.Control/Solve')
    ? matched.route.id
    : 'grpc.call'

/** Mode `audit` takes down what `check` would have refused. */
const noting = (note: Note | undefined, what: string, check: () => void): void => {
  try {
    check()
  } catch (error) {
    noteOrThrow(note, `${GRPC.route.id}.${what}`, error)
  }
}

export class Builds {
  readonly #claims = new Claims()
  readonly #grants = new Grants({
    method: SOLVE_METHOD,
    messages: () => solvesForEntitlements(randomUUID()),
    isRefusal: isNotGranted,
  })

  /**
   * Sessions bring files and secrets to builds: an id is the tenant's who named it first.
   * @throws Failure POLICY_DENIED
   */
  claim(exchange: Exchange, { route, query }: Matched, tenant: Asking, endpoint: Endpoint): void {
    const id =
      route.id === 'session.open'
        ? fieldValue(exchange.head, SESSION_ID)
        : query.get('session')?.[0]
    if (id !== undefined && SESSION_ROUTES.has(route.id)) this.#claim(id, tenant, endpoint)
  }

  #claim(id: string, tenant: Asking, { address }: Endpoint): void {
    this.#claims.claim(printEngineAddress(address), id, tenant.id)
  }

  /** Where nothing that a build can ask for reaches beyond the tenant's own builder, it need not be read. */
  async #roadOf({ policy, note }: Build, target: GrpcTarget): Promise<GrpcRoad> {
    if (policy.profile === 'open') return 'opaque'
    if (note !== undefined || policy.profile !== 'dedicated') return 'judged'
    return (await this.#grants.areNone(target)) ? 'opaque' : 'judged'
  }

  /** POST /grpc, or one call. `opaquely` relays the upgrade as any other. */
  async serve(exchange: Exchange, build: Build, opaquely: () => Promise<void>): Promise<void> {
    const refusal = refusalOf(build.policy)
    if (refusal !== undefined) noteOrThrow(build.note, GRPC.route.id, refusal)
    if (exchange.call !== undefined) return this.#serveCall(exchange, exchange.call, build)
    if (!exchange.canHijack) return opaquely()
    upgradeFor('h2c', exchange.head)
    const road = await this.#roadOf(build, engineOf(build))
    if (exchange.isGone) return
    if (road === 'judged') return exchange.speakH2()
    await opaquely()
  }

  /** A connection that ends here has its calls judged, whatever its engine grants: reading them has become free. */
  async #serveCall(exchange: Exchange, call: Call, build: Build): Promise<void> {
    const judge = build.policy.profile === 'open' ? undefined : this.#judgeOf(call, build)
    const target = call.isUpgraded ? engineOf(build) : builderOf(build)
    await relayCall(exchange, call, () => channelFor(exchange.connection, target), judge)
  }

  /** @throws Failure POLICY_DENIED for a call that is not served at all */
  #judgeOf(call: Call, build: Build): Judge | undefined {
    const { tenant, endpoint, policy, note } = build
    const treatment = this.#treatmentOf(call, note)
    if (treatment === 'session') {
      const id = metadata(call, SESSION_ID)
      if (id !== undefined) this.#claim(id, tenant, endpoint)
    }
    if (treatment !== 'solve') return undefined
    const judge = (message: Buffer): void => {
      const { ref, sessions, entitlements, attributes } = readSolve(message)
      for (const id of [ref, ...sessions]) if (id !== '') this.#claim(id, tenant, endpoint)
      noting(note, 'entitlements', () => refuseEntitlements(entitlements))
      noting(note, 'attributes', () => refuseAttributes(policy, attributes))
    }
    return { owner: endpoint.key, judge }
  }

  #treatmentOf({ method }: Call, note: Note | undefined): Treatment {
    try {
      return treatmentOf(method)
    } catch (error) {
      noteOrThrow(note, GRPC.route.id, error)
      return 'pass'
    }
  }

  /** Where a connection that speaks gRPC from its first byte may be spliced into, or undefined where it has to be read. */
  async targetFor(build: Build): Promise<GrpcTarget | undefined> {
    const target = builderOf(build)
    return (await this.#roadOf(build, target)) === 'opaque' ? target : undefined
  }
}

/** The builder inside the engine: who upgrades /grpc sends his files by /session, to the engine as well. */
const engineOf = ({ pool }: Build): GrpcTarget => ({ kind: 'engine', pool })

/** The builder of whoever speaks gRPC from the first byte: sessions travel on that connection, so it may be any. */
const builderOf = (build: Build): GrpcTarget => {
  const { build: address } = build.endpoint
  return address === undefined ? engineOf(build) : { kind: 'buildkitd', address }
}

const SESSION_ROUTES: ReadonlySet<string> = new Set(['session.open', 'build.start'])

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
      const note = notesOf({ id }, tenant, GRPC, policy)
      const target = await builds.targetFor({ tenant, policy, endpoint, pool, note })
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
