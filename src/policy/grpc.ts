/** BuildKit's gRPC methods, as one table: which of them a tenant may call where his builds are judged. */
import { Failure } from '../errors.ts'
import { readFields, readMap } from './grpc-fields.ts'
import { shorten } from './json.ts'
import type { Policy } from './policy.ts'

/**
 * - `pass`: concerns the tenant's own builds only, on an engine of his own
 * - `solve`: starts a build; its message is read first
 * - `session`: brings the tenant's files and secrets to a build, under an id that is his
 */
export type Treatment = 'pass' | 'solve' | 'session'

const METHODS = {
  '/moby.buildkit.v1.Control/Solve': 'solve',
  '/moby.buildkit.v1.Control/Session': 'session',
  '/moby.buildkit.v1.Control/Status': 'pass',
  '/moby.buildkit.v1.Control/Info': 'pass',
  '/moby.buildkit.v1.Control/ListWorkers': 'pass',
  '/moby.buildkit.v1.Control/DiskUsage': 'pass',
  '/moby.buildkit.v1.Control/Prune': 'pass',
  '/moby.buildkit.v1.Control/ListenBuildHistory': 'pass',
  '/moby.buildkit.v1.Control/UpdateBuildHistory': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/Ping': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/Solve': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/Return': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/Inputs': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/Warn': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/Evaluate': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/ResolveImageConfig': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/ResolveSourceMeta': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/ReadFile': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/ReadDir': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/StatFile': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/NewContainer': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/ReleaseContainer': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/ExecProcess': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/ReadFileContainer': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/ReadDirContainer': 'pass',
  '/moby.buildkit.v1.frontend.LLBBridge/StatFileContainer': 'pass',
  // compose reads the provenance of what it has built; the engine's own content is all there is
  '/containerd.services.content.v1.Content/Info': 'pass',
  '/containerd.services.content.v1.Content/Read': 'pass',
  '/opentelemetry.proto.collector.trace.v1.TraceService/Export': 'pass',
} as const satisfies Record<string, Treatment>

/** @throws Failure POLICY_DENIED for a method that is not in the table */
export const treatmentOf = (method: string): Treatment => {
  if (Object.hasOwn(METHODS, method)) return METHODS[method as keyof typeof METHODS]
  throw new Failure(
    'POLICY_DENIED',
    `the build service ${serviceOf(method)} is not served here; build with docker build or docker buildx build`,
  )
}

const SERVICE = /^\/([A-Za-z0-9_.]{1,80}\/[A-Za-z0-9_]{1,40})$/
const serviceOf = (method: string): string => SERVICE.exec(method)?.[1] ?? 'asked for'

/** The method that starts a build. */
export const SOLVE_METHOD = '/moby.buildkit.v1.Control/Solve'

/** The fields of a SolveRequest that matter here (moby/buildkit, api/services/control/control.proto). */
const SOLVE = { ref: 1, session: 5, entitlements: 9, sourcePolicySession: 15 } as const
const FRONTEND = 6
const FRONTEND_ATTRS = 7
const INTERNAL = 11

/** What a build says of itself. */
export interface Solve {
  readonly ref: string
  /** The sessions whose files and secrets it uses. */
  readonly sessions: readonly string[]
  readonly entitlements: readonly string[]
  /** The options of `docker build`, as the frontend calls them. */
  readonly attributes: ReadonlyMap<string, string>
}

/** What each entitlement would give away, and how to do without. */
const ENTITLEMENTS: Readonly<Record<string, string>> = {
  'network.host': "it puts build steps into the engine's own network; leave out --network host",
  'security.insecure':
    'it gives build steps the rights of the engine; leave out --allow security.insecure',
  device: "it gives build steps the engine's devices; leave out --allow device",
}

/**
 * Reads a SolveRequest.
 * @throws Failure MALFORMED_BODY for what Go's decoder might read differently
 */
export const readSolve = (message: Uint8Array): Solve => {
  const fields = readFields(message, new Set(Object.values(SOLVE)))
  return {
    ref: fields.get(SOLVE.ref)?.at(-1) ?? '',
    sessions: [
      ...(fields.get(SOLVE.session) ?? []),
      ...(fields.get(SOLVE.sourcePolicySession) ?? []),
    ].filter((id) => id !== ''),
    entitlements: fields.get(SOLVE.entitlements) ?? [],
    attributes: readMap(message, FRONTEND_ATTRS),
  }
}

const NAMED = /^[a-z.]{1,40}/

/** @throws Failure POLICY_DENIED where a build asks for anything that reaches beyond it */
export const refuseEntitlements = ([entitlement]: readonly string[]): void => {
  if (entitlement === undefined) return
  const name = NAMED.exec(entitlement)?.[0] ?? ''
  const why = ENTITLEMENTS[name] ?? 'it is not known here; leave it out'
  throw new Failure('POLICY_DENIED', `the build entitlement ${name}: ${why}`)
}

/**
 * What the query of POST /build may not say either.
 * @throws Failure POLICY_DENIED
 */
export const refuseAttributes = (
  { name, terms }: Pick<Policy, 'name' | 'terms'>,
  attributes: ReadonlyMap<string, string>,
): void => {
  const parent = attributes.get('cgroup-parent') ?? ''
  if (parent !== '' && parent !== terms.cgroupParent)
    throw new Failure(
      'POLICY_DENIED',
      `build.cgroupparent = ${JSON.stringify(shorten(parent))} (policy '${name}'): it leaves the tenant's own cgroup and its limits. Leave out --cgroup-parent.`,
    )
}

/**
 * For each entitlement a SolveRequest that asks for it and builds nothing: no frontend is called so, which is found out
 * once the entitlement is granted. `Internal` keeps it out of the build history.
 * @param ref a name for the build, in ASCII
 */
export const solvesForEntitlements = (ref: string): readonly Uint8Array[] =>
  Object.keys(ENTITLEMENTS).map((name) =>
    Uint8Array.from([
      ...stringField(SOLVE.ref, `${ref}-${name}`),
      ...stringField(FRONTEND, 'berth'),
      ...stringField(SOLVE.entitlements, name),
      ...[INTERNAL << 3, 1],
    ]),
  )

/** Of a field number below 16, and fewer than 128 bytes: tag and length are a byte each. */
const stringField = (field: number, text: string): readonly number[] => [
  (field << 3) | 2,
  text.length,
  ...new TextEncoder().encode(text),
]

/** BuildKit's words for an entitlement that its configuration does not grant, or that it is too old to know. */
const NOT_GRANTED = /not allowed by build daemon configuration|unknown entitlement/

/** @param message of the status that such a solve ended with */
export const isNotGranted = (message: string): boolean => NOT_GRANTED.test(message)
