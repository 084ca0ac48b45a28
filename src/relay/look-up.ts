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

/** Statuses by which an engine says that it would not take the name for anything. */
const NOTHING = new Set([400, 404])

/**
 * @param version of the API that the request itself speaks, as `v1.51`
 * @returns the engine's description; undefined where there is nothing of that name
 * @throws Failure ENGINE_REFUSED or that of the connection
 */
export const lookUp = async (
  pool: Pool,
  version: string,
  kind: keyof typeof PLACES,
  name: string,
): Promise<unknown> => {
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
