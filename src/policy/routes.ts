/** Whole routes that a profile refuses, whatever is in them. */
import { Failure } from '../errors.ts'
import type { RouteId } from '../route/routes.ts'
import type { Policy } from './policy.ts'
import { everywhere, reachesHost, reachesNeighbours, type Verdicts } from './table.ts'

export interface RouteRow {
  readonly verdicts: Verdicts
  readonly why: string
  readonly cure: string
}

const SWARM: RouteRow = {
  verdicts: reachesHost('deny'),
  why: 'a swarm is a second way to make containers, and one whose managers rule the engine',
  cure: 'Use docker compose up.',
}

const PLUGIN: RouteRow = {
  verdicts: reachesHost('deny'),
  why: "plugins run on the engine's host with what they ask for",
  cure: 'Use the drivers that are built in.',
}

const CHECKPOINT: RouteRow = {
  verdicts: reachesHost('deny'),
  why: "checkpoints are directories of the engine's host",
  cure: 'Use docker commit or volumes.',
}

const BUILDKIT: RouteRow = {
  verdicts: reachesHost('deny'),
  why: 'the engine would let a build have the network and devices of its host',
  cure: 'Build elsewhere and push, or build with DOCKER_BUILDKIT=0.',
}

const OF_ALL: RouteRow = {
  verdicts: reachesNeighbours('deny'),
  why: "it works on everybody's",
  cure: 'Remove your own by name.',
}

/** By `resource.action`, or by resource. */
export const ROUTE_ROWS = {
  swarm: SWARM,
  service: SWARM,
  node: SWARM,
  task: SWARM,
  secret: SWARM,
  config: SWARM,
  plugin: PLUGIN,
  checkpoint: CHECKPOINT,
  'build.prune': OF_ALL,
  'image.prune': OF_ALL,
  'image.search': {
    verdicts: reachesNeighbours('deny'),
    why: 'the engine would call a host of your choice',
    cure: 'Search on the web.',
  },
  'volume.update': SWARM,
  'grpc.open': BUILDKIT,
  'session.open': BUILDKIT,
} as const satisfies Partial<Record<RouteId | ResourceOf<RouteId>, RouteRow>>

type ResourceOf<Id extends string> = Id extends `${infer Resource}.${string}` ? Resource : never

const NETWORKING_OFF: RouteRow = {
  verdicts: everywhere('deny'),
  why: 'containers have no network here',
  cure: 'Leave out networks.',
}

const NO_BUILDS: RouteRow = {
  verdicts: everywhere('deny'),
  why: 'a build runs whatever images its Dockerfile names, and makes one that could not run here',
  cure: 'Build elsewhere and push.',
}

/** What a policy says of all containers and no builder can be told. */
const OF_CONTAINERS = ['runAs', 'onlyCapabilities', 'seccomp', 'apparmor'] as const

/** The first option of the policy that the steps of a build would not keep. */
const escapedBy = (policy: Policy): string | undefined =>
  policy.networking ? OF_CONTAINERS.find((option) => policy[option] !== undefined) : 'networking'

const escaping = (option: string): RouteRow => ({
  verdicts: reachesHost('deny'),
  why: `the policy's ${option} holds for containers, and the steps of a build would escape it`,
  cure: 'Build elsewhere and push.',
})

/** Routes that build. */
const BUILDING: ReadonlySet<string> = new Set<RouteId>(['build.start', 'grpc.open', 'session.open'])

/** Routes that only serve containers with networks. */
const NETWORKED: ReadonlySet<string> = new Set<RouteId>(['network.create', 'network.connect'])

/** Routes whose streams berth does not read. */
const UNFENCED: ReadonlySet<string> = new Set<RouteId>(['grpc.open', 'session.open'])

/** The name by which berth.yaml calls a row. */
export const routePath = (key: string): string => `route ${key}`

interface Found {
  readonly path: string
  readonly row: RouteRow
}

const ROWS: ReadonlyMap<string, Found> = new Map(
  Object.entries(ROUTE_ROWS).map(([key, row]) => [key, { path: routePath(key), row }] as const),
)
/** By route, once it has been asked for: every request asks, and there are few routes. */
const known = new Map<string, Found | undefined>()

const rowOf = (id: string): Found | undefined => {
  if (!known.has(id)) known.set(id, ROWS.get(id) ?? ROWS.get(id.slice(0, id.indexOf('.'))))
  return known.get(id)
}

/** The row that holds for a route, and the path by which berth.yaml changes it. */
export const routeRow = (policy: Policy, id: string): Found | undefined => {
  if (!policy.networking && NETWORKED.has(id)) return { path: routePath(id), row: NETWORKING_OFF }
  if (!policy.localImages && BUILDING.has(id)) return { path: routePath(id), row: NO_BUILDS }
  const escaped = BUILDING.has(id) ? escapedBy(policy) : undefined
  if (escaped !== undefined) return { path: routePath(id), row: escaping(escaped) }
  if (policy.terms.buildsAreFenced && UNFENCED.has(id)) return undefined
  return rowOf(id)
}

/** @throws Failure POLICY_DENIED, or NO_SUCH_PLUGIN */
export const refuseRoute = (policy: Policy, id: string, row: RouteRow): never => {
  // `docker inspect NAME` asks for a plugin last, when nothing else has the name: there is none by any name
  if (id === 'plugin.inspect') throw new Failure('NO_SUCH_PLUGIN')
  throw new Failure('POLICY_DENIED', `${id} (policy '${policy.name}'): ${row.why}. ${row.cure}`)
}
