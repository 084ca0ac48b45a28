/** From a matched route back to a request-target: what the engine is sent, without a byte of the client's text. */

import type { Matched } from './match.ts'
import type { Query } from './query.ts'
import type { RouteId } from './routes.ts'

/** What clients send before they know a version, or to take a connection over: it stays as it came. */
const UNVERSIONED: ReadonlySet<RouteId> = new Set([
  'system.ping',
  'session.open',
  'grpc.open',
] as const)

/**
 * The upstream request-target of `matched`, built from the route's template.
 * `match(method, targetOf(matched))` is `matched` again.
 *
 * @param version the API version to ask for, such as `'v1.44'`; `''` for none
 * @param query in place of the one that was matched
 */
export const targetOf = (
  matched: Matched,
  version: string = matched.version,
  query: Query = matched.query,
): string => {
  const { route, params } = matched
  const bare = version === '' || (matched.version === '' && UNVERSIONED.has(route.id))
  const path = `${bare ? '' : `/${version}`}${route.before}${params[0] ?? ''}${route.after}`
  if (query.size === 0) return path
  const pairs: string[] = []
  for (const key of route.query.keys()) {
    for (const value of query.get(key) ?? []) {
      pairs.push(`${key}=${encodeURIComponent(value)}`)
    }
  }
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}
