/** Asks an engine what is behind a name that a request mentions. */
import { Failure } from '../errors.ts'
import { ask } from '../upstream/ask.ts'
import type { Pool } from '../upstream/pool.ts'

const PLACES = {
  container: (name: string) => `/containers/${name}/json`,
  image: (name: string) => `/images/${name}/json`,
  network: (name: string) => `/networks/${name}`,
  volume: (name: string) => `/volumes/${name}`,
} as const satisfies Record<string, (name: string) => string>

/** Names that lead a path elsewhere: engines clean a path before they look where it goes. */
const ASTRAY = /^$|(?:^|\/)\.{0,2}(?:\/|$)/

/** Statuses by which an engine says that it would not take the name for anything. */
const NOTHING = new Set([400, 404])

/**
 * @param version of the API that the request itself speaks, as `v1.51`
 * @returns the engine's description; undefined where there is nothing of that name
 * @throws Failure MALFORMED_REQUEST where no thing can have that name; ENGINE_REFUSED or that of the connection
 */
export const lookUp = async (
  pool: Pool,
  version: string,
  kind: keyof typeof PLACES,
  name: string,
): Promise<unknown> => {
  if (ASTRAY.test(name))
    throw new Failure('MALFORMED_REQUEST', `${JSON.stringify(name)} is not the name of a ${kind}`)
  const target = `/${version}${PLACES[kind](encodeURIComponent(name))}`
  const { status, body } = await ask(pool, { method: 'GET', target })
  if (NOTHING.has(status)) return undefined
  if (status !== 200)
    throw new Failure(
      'ENGINE_REFUSED',
      `${kind} ${JSON.stringify(name)} cannot be looked up: ${status}`,
    )
  return JSON.parse(body.toString())
}
