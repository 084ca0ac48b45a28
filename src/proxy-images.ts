/** Which images may run, where that depends on where they came from: pulls are watched, creates and starts are asked. */

import type { Origins } from './endpoint/origins.ts'
import { Failure } from './errors.ts'
import type { Mention } from './policy/hearing.ts'
import { asksForOrigins, type ImageName, judgeImage, printImage, pullOf } from './policy/images.ts'
import type { Policy } from './policy/policy.ts'
import { type Note, noteOrThrow } from './proxy-audit.ts'
import type { Watch } from './relay/errand.ts'
import { lookUp } from './relay/look-up.ts'
import { watchPull } from './relay/pull-watch.ts'
import { removeContainer } from './relay/remove.ts'
import type { Matched } from './route/match.ts'
import type { Query } from './route/query.ts'
import type { RouteId } from './route/routes.ts'
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
  const asked = new Set<string>()
  if (!asksForOrigins(policy)) return ids
  for (const mention of mentions) {
    // the same name says different things in different places
    const question = `${mention.path} ${mention.name}`
    if (mention.kind !== 'image' || asked.has(question)) continue
    asked.add(question)
    try {
      const id = await judgedId(policy, engine, mention)
      if (id !== undefined) ids.set(mention.name, id)
    } catch (error) {
      noteOrThrow(note, mention.path, error)
    }
  }
  return ids
}

/** What engines say of a container, as far as it matters here. */
export interface Made {
  readonly Id: string
  /** The id of its image, which it keeps. */
  readonly Image: string
  readonly Config: { readonly Image: string }
  readonly State: { readonly Status: string }
}

export const containerOf = async (
  { pool, version }: Engine,
  name: string,
): Promise<Made | undefined> => (await lookUp(pool, version, 'container', name)) as Made | undefined

/**
 * A tag may have moved between check and use: looks at what the container was really made of.
 * @param made the engine's own description of the container
 * @throws Failure POLICY_DENIED
 */
export const recheckImage = async (
  policy: Policy,
  engine: Engine,
  made: Made,
  judged: { readonly name: string; readonly id: string | undefined },
): Promise<void> => {
  if (made.Image !== judged.id)
    await refuseImage(policy, engine, { path: 'Image', name: judged.name }, made.Image)
}

/**
 * Removes a container that has been made and must not run, or cannot be told to be one that may.
 * @throws Failure ENGINE_REFUSED where it is still there
 */
export const removeMade = async (
  { pool, version }: Engine,
  container: string,
  why: Failure,
): Promise<void> => {
  try {
    await removeContainer(pool, version, container)
  } catch {
    throw new Failure(
      'ENGINE_REFUSED',
      `removing a container that must not run (${why.message}). Remove it yourself: docker rm -f ${container}`,
      why,
    )
  }
}

/** Routes that set a container running which may never have run. */
const STARTS: ReadonlySet<string> = new Set<RouteId>(['container.start', 'container.restart'])

/** Does `judgeStart` have a say? */
export const isStartJudged = (policy: Policy, { route }: Matched): boolean =>
  STARTS.has(route.id) && asksForOrigins(policy)

/**
 * Looks at the image of a container that has never run, whatever became of the look behind its create: its client may
 * have left, the engine failed, or somebody else made it. What has run already may go on.
 * @returns what to ask in place of `matched`: the same by the container's id, as a name can be given to another meanwhile
 * @throws Failure POLICY_DENIED or NO_SUCH_CONTAINER
 */
export const judgeStart = async (
  policy: Policy,
  engine: Engine,
  matched: Matched,
  note: Note | undefined,
): Promise<Matched> => {
  const [name = ''] = matched.params
  try {
    const made = await containerOf(engine, name)
    if (made === undefined) return nothingToStart(matched, note)
    const { Id, Image, Config, State } = made
    if (State.Status === 'created')
      await refuseImage(policy, engine, { path: 'Image', name: Config.Image }, Image)
    return { ...matched, params: [Id] }
  } catch (error) {
    noteOrThrow(note, 'Image', error)
    return matched
  }
}

/** @throws Failure NO_SUCH_CONTAINER: asked for by its name, one could be there by then */
const nothingToStart = (matched: Matched, note: Note | undefined): Matched => {
  if (note === undefined) throw new Failure('NO_SUCH_CONTAINER', matched.params[0])
  return matched
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
