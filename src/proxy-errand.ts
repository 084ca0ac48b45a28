/** From what was asked, and what was ruled on it, to the errand that relay runs. */
import { Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'
import type { Permit, Plan } from './policy/decide.ts'
import { joinedBy } from './policy/objects.ts'
import type { Policy } from './policy/policy.ts'
import type { Note } from './proxy-audit.ts'
import { GRPC } from './proxy-grpc.ts'
import { type Engine, pullWatchFor } from './proxy-images.ts'
import { type Judgeable, Judged } from './proxy-judged.ts'
import type { Errand } from './relay/errand.ts'
import { acceptsContentType } from './route/content-type.ts'
import { type Matched, METHODS, match } from './route/match.ts'
import type { Route } from './route/route.ts'
import { ROUTES } from './route/routes.ts'
import { targetOf } from './route/target.ts'
import type { RequestFieldClass } from './wire/fields.ts'
import { fieldValue } from './wire/head.ts'
import { remember } from './wire/remember.ts'

/** What a target asks for. */
export interface Asked {
  readonly matched: Matched
  /** The errand that it made where no policy had a say, in the version that it was for. */
  plain: { readonly version: string; readonly errand: Errand } | undefined
}

const askedFor = (method: string): ((target: string) => Asked) =>
  remember((target) => ({ matched: match(method, target), plain: undefined }))

/** Clients ask for few different things, again and again. */
const ASKED: ReadonlyMap<string, (target: string) => Asked> = new Map(
  METHODS.map((method) => [method, askedFor(method)]),
)
const GRPC_ASKED: Asked = { matched: GRPC, plain: undefined }

/** @throws Failure where the target is none that an engine serves */
export const askedBy = ({ call, head }: Exchange): Asked => {
  if (call !== undefined) return GRPC_ASKED
  const recall = ASKED.get(head.method)
  return recall?.(head.target) ?? { matched: match(head.method, head.target), plain: undefined }
}

/** The engine that a request is for, and all that was decided before it may go there. */
export interface Ruling extends Engine {
  readonly permit: Permit
  readonly policy: Policy
  readonly note: Note | undefined
}

const isJudged = (plan: Plan): plan is Judgeable => plan.kind === 'judge' || plan.kind === 'rewrite'

const PULL = 'image.create'
const JSON_TYPE = 'application/json'

/** @throws Failure where the body is not of a type, or not there, that the route needs */
export const errandOf = ({ head }: Exchange, asked: Asked, ruling: Ruling): Errand => {
  const { matched } = asked
  const { permit, pool } = ruling
  const { apiVersion } = pool.learned
  // A path without a version means the engine's newest: said explicitly as soon as it is known
  const version =
    matched.version === '' && apiVersion !== undefined ? `v${apiVersion}` : matched.version
  const hasBody = head.framing.kind !== 'none'
  const type = acceptsContentType(matched.route, fieldValue(head, 'content-type'), hasBody)
  const { plan } = permit
  if (isJudged(plan) && type !== undefined && !hasBody)
    throw new Failure('MALFORMED_BODY', 'it is empty, and JSON is not')
  const contentType = hasBody || isJudged(plan) ? (type ?? JSON_TYPE) : undefined
  const isPlain =
    plan.kind === 'none' &&
    contentType === undefined &&
    permit.query === undefined &&
    matched.route.id !== PULL
  if (!isPlain) return makeErrand(matched, version, contentType, ruling)
  if (asked.plain?.version !== version)
    asked.plain = { version, errand: makeErrand(matched, version, contentType, ruling) }
  return asked.plain.errand
}

/** What becomes of the body, and of the answer that a judged one gets. */
const handlingOf = ({ route, params }: Matched, ruling: Ruling): Pick<Errand, 'plan' | 'amend'> => {
  const { plan } = ruling.permit
  if (!isJudged(plan)) return { plan, amend: undefined }
  const { policy, note } = ruling
  const judged = new Judged(policy, ruling, note, joinedBy(policy, route, params))
  return { plan: judged.planFor(plan), amend: judged.amend }
}

const makeErrand = (
  matched: Matched,
  version: string,
  contentType: string | undefined,
  ruling: Ruling,
): Errand => {
  const { permit, policy } = ruling
  const { route } = matched
  const query = permit.query ?? matched.query
  const { plan, amend } = handlingOf(matched, ruling)
  // one literal, always of one shape: whoever reads it on the hot path finds its members where they always were
  return {
    method: route.method,
    target: targetOf(matched, version, query),
    contentType,
    fieldClasses: fieldClassesOf(route),
    hijack: route.hijack,
    plan,
    amend,
    watch: route.id === PULL ? pullWatchFor(policy, ruling, query) : undefined,
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
