/** Which images may run, where that depends on where they came from: pulls are watched, and creates are asked. */

import type { Origins } from './endpoint/origins.ts'
import { Failure } from './errors.ts'
import type { Mention } from './policy/hearing.ts'
import { asksForOrigins, type ImageName, judgeImage, printImage, pullOf } from './policy/images.ts'
import type { Policy } from './policy/policy.ts'
import { type Note, noteOrThrow } from './proxy-audit.ts'
import type { Watch } from './relay/errand.ts'
import { lookUp } from './relay/look-up.ts'
import { watchPull } from './relay/pull-watch.ts'
import type { Query } from './route/query.ts'
import { ask } from './upstream/ask.ts'
import type { Pool } from './upstream/pool.ts'

/** The engine behind one request. */
export interface Engine {
  readonly pool: Pool
  /** Of the API that the request speaks, as `v1.51`. */
  readonly version: string
  /** Of the tenant and the engine together, for as long as both are the same. */
  readonly name: string
  readonly origins: Origins
  /** Nobody waits for the answer any more: what is asked for it now is asked for nothing. */
  readonly isGone: boolean
}

/** Content that has an id has no other: by it an image mount cannot change between check and use. */
const IMAGE_ID = /^sha256:[0-9a-f]{64}$/

const imageIdOf = async ({ pool, version }: Engine, name: string): Promise<string | undefined> => {
  const image = (await lookUp(pool, version, 'image', name)) as { readonly Id: string } | undefined
  return image?.Id
}

const refuseImage = async (
  policy: Policy,
  engine: Engine,
  { path, name }: Pick<Mention, 'path' | 'name'>,
  id: string,
): Promise<void> => {
  const verdict = judgeImage(policy, name, await engine.origins.of(engine.name, id))
  if (!verdict.allowed)
    throw new Failure(
      'POLICY_DENIED',
      `${path} = ${JSON.stringify(name)} (policy '${policy.name}'): ${verdict.why}. ${verdict.cure}`,
    )
}

/** @throws Failure POLICY_DENIED */
const judgedId = async (
  policy: Policy,
  engine: Engine,
  mention: Mention,
): Promise<string | undefined> => {
  const { path, name } = mention
  if (path !== 'Image' && !IMAGE_ID.test(name))
    throw new Failure(
      'POLICY_DENIED',
      `${path} names ${JSON.stringify(name)} (policy '${policy.name}'): a name can be given to another image at any time. Name it by its id, sha256:...`,
    )
  const id = await imageIdOf(engine, name)
  if (id !== undefined) await refuseImage(policy, engine, mention, id)
  return id
}

/**
 * Judges the images that a create names.
 * @returns the id behind each name; an image that is not there yet has none, and docker will pull it
 * @throws Failure POLICY_DENIED
 */
export const judgeImages = async (
  policy: Policy,
  engine: Engine,
  mentions: readonly Mention[],
  note: Note | undefined,
): Promise<ReadonlyMap<string, string>> => {
  const ids = new Map<string, string>()
  if (!asksForOrigins(policy)) return ids
  for (const mention of mentions) {
    if (mention.kind !== 'image') continue
    try {
      const id = await judgedId(policy, engine, mention)
      if (id !== undefined) ids.set(mention.name, id)
    } catch (error) {
      noteOrThrow(note, mention.path, error)
    }
  }
  return ids
}

/**
 * A tag may have moved between check and use: looks at what the container was really made of, and removes it where
 * that may not run.
 * @throws Failure POLICY_DENIED
 */
export const recheckImage = async (
  policy: Policy,
  engine: Engine,
  container: string,
  judged: { readonly name: string; readonly id: string | undefined },
): Promise<void> => {
  const { pool, version } = engine
  const made = (await lookUp(pool, version, 'container', container)) as
    | { readonly Image: string }
    | undefined
  if (made === undefined || made.Image === judged.id) return
  try {
    await refuseImage(policy, engine, { path: 'Image', name: judged.name }, made.Image)
  } catch (error) {
    await ask(pool, { method: 'DELETE', target: `/${version}/containers/${container}?force=1&v=1` })
    throw error
  }
}

/** Who reads along with a pull, where it matters where images come from. */
export const pullWatchFor = (
  policy: Policy,
  engine: Engine,
  query: Query,
): ((status: number) => Watch | undefined) | undefined => {
  const image = asksForOrigins(policy) ? pullOf(query) : undefined
  if (image === undefined) return undefined
  return (status) =>
    status === 200 ? watchPull((digests) => recordPull(engine, image, digests)) : undefined
}

const recordPull = async (
  engine: Engine,
  image: ImageName,
  digests: readonly string[],
): Promise<void> => {
  for (const digest of digests) {
    const exact = printImage({ ...image, version: `@${digest}` })
    const id = await imageIdOf(engine, exact)
    const places = image.version === '' ? [exact] : [printImage(image), exact]
    if (id !== undefined) await engine.origins.record(engine.name, id, places)
  }
}
