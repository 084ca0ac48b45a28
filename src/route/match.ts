/** From a request line to a route of the table; only paths that could have been built from it are accepted. */

import { Failure } from '../errors.ts'
import { isReference, readName, readReference } from './names.ts'
import { NO_QUERY, parseQuery, type Query } from './query.ts'
import { type KnownRoute, ROUTES } from './routes.ts'
import { versionOf } from './version.ts'

export interface Matched {
  readonly route: KnownRoute
  /** `'v1.44'`, or `''` for a path without a version. */
  readonly version: string
  /** The names in the path, plainly spelt: none or one. */
  readonly params: readonly string[]
  readonly query: Query
}

/** Routes that begin with the same literal segment, by what follows the name (`''` for nothing). */
interface Branch {
  readonly greedy: boolean
  readonly bySuffix: Map<string, KnownRoute>
}

/** The routes of one method: paths without a parameter, then the others by their first segment. */
interface Tree {
  readonly literals: Map<string, KnownRoute>
  readonly branches: Map<string, Branch>
}

interface Found {
  readonly route: KnownRoute
  readonly params: readonly string[]
}

const MAX_PATH = 512
/** Only for the choice between two refusals: a path that no engine would clean, decode or redirect. */
const PLAIN = /^(?:\/[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,254})+$/
const NONE: readonly string[] = []

const plant = (routes: readonly KnownRoute[]): Tree => {
  const tree: Tree = { literals: new Map(), branches: new Map() }
  for (const route of routes) {
    if (route.param === undefined) {
      tree.literals.set(route.template, route)
      if (route.also !== undefined) tree.literals.set(route.also, route)
      continue
    }
    const branch = tree.branches.get(route.before)
    if (branch) branch.bySuffix.set(route.after, route)
    else {
      const bySuffix = new Map([[route.after, route]])
      tree.branches.set(route.before, { greedy: isReference(route.param), bySuffix })
    }
  }
  return tree
}

/** Of the routes there are. */
export const METHODS: readonly string[] = [...new Set(ROUTES.map(({ method }) => method))]
const TREES: ReadonlyMap<string, Tree> = new Map(
  METHODS.map((method) => [method, plant(ROUTES.filter((route) => route.method === method))]),
)

/**
 * The route that a request asks for, with everything its target says, read once.
 *
 * Acceptance needs no check of its own: a path is accepted if it is a template, or a template around a name
 * that `names.ts` knows. So `//`, `.`, `..`, `%`, `;` and their kin never get through.
 *
 * @param target the request-target as sent, in origin form (RFC 9112 3.2.1)
 */
export const match = (method: string, target: string): Matched => {
  const mark = target.indexOf('?')
  const whole = mark === -1 ? target : target.slice(0, mark)
  const version = versionOf(whole)
  const path = version === '' ? whole : whole.slice(version.length + 1)
  const tree = TREES.get(method)
  const found = tree && whole.length <= MAX_PATH ? find(tree, path) : undefined
  if (!found) throw refusal(whole)
  const { route, params } = found
  const query = mark === -1 ? NO_QUERY : parseQuery(route, target.slice(mark + 1))
  return { route, version, params, query }
}

const find = (tree: Tree, path: string): Found | undefined => {
  const literal = tree.literals.get(path)
  if (literal) return { route: literal, params: NONE }
  const start = path.indexOf('/', 1) + 1
  const branch = tree.branches.get(path.slice(0, start))
  if (!branch) return undefined
  const rest = path.slice(start)
  return branch.greedy ? findReference(branch, rest) : findName(branch, rest)
}

const findName = ({ bySuffix }: Branch, rest: string): Found | undefined => {
  const slash = rest.indexOf('/')
  const end = slash === -1 ? rest.length : slash
  const route = bySuffix.get(rest.slice(end))
  const name = readName(rest.slice(0, end))
  return route && name !== undefined ? { route, params: [name] } : undefined
}

/** The last segment is the action if the method has such an action, as in the engine's greedy patterns. */
const findReference = ({ bySuffix }: Branch, rest: string): Found | undefined => {
  const slash = rest.lastIndexOf('/')
  const action = slash === -1 ? undefined : bySuffix.get(rest.slice(slash))
  const route = action ?? bySuffix.get('')
  const spelt = action ? rest.slice(0, slash) : rest
  // `/images/get/get`: readers who take the first match and readers who take the last disagree on it.
  const name = action && spelt === rest.slice(slash + 1) ? undefined : readReference(spelt)
  return route && name !== undefined ? { route, params: [name] } : undefined
}

const refusal = (path: string): Failure =>
  path.length <= MAX_PATH && PLAIN.test(path)
    ? new Failure('NO_SUCH_ROUTE')
    : new Failure(
        'PATH_NOT_PLAIN',
        `it must start with "/", be at most ${MAX_PATH} bytes long and hold no escapes, no empty and no dot segments; what has a space or a letter beyond a-z in its name is reached by its id`,
      )
