/** Removes a container at the engine, with the volumes that its image made the engine give it. */
import { Failure } from '../errors.ts'
import { ask } from '../upstream/ask.ts'
import type { Pool } from '../upstream/pool.ts'

/** There is nothing to remove, or somebody else is at it. */
const GONE: ReadonlySet<number> = new Set([204, 404, 409])
/** The second for one that did not arrive. */
const TRIES = 2

/**
 * @param version of the API that the request itself speaks, as `v1.51`
 * @throws Failure ENGINE_REFUSED where it is still there
 */
export const removeContainer = async (pool: Pool, version: string, id: string): Promise<void> => {
  const target = `/${version}/containers/${id}?force=1&v=1`
  let why = ''
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      const { status } = await ask(pool, { method: 'DELETE', target })
      if (GONE.has(status)) return
      why = String(status)
    } catch (error) {
      why = (error as Error).message
    }
  }
  throw new Failure('ENGINE_REFUSED', `the container ${id} could not be removed: ${why}`)
}
