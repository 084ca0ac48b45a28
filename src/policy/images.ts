/** Which images may be pulled and run: by where they came from, since a name can be given to anything. */
import type { Query } from '../route/query.ts'
import type { Policy } from './policy.ts'
import { matches } from './values.ts'

/** How an image came to be on the engine. Built, loaded, imported, committed or tagged here counts as local. */
export type Origin = { readonly kind: 'pulled'; readonly from: string } | { readonly kind: 'local' }

export type Provenance =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly why: string; readonly cure: string }

/** A reference in full: registry, path, and a tag or digest. */
export interface ImageName {
  readonly registry: string
  readonly repository: string
  /** `:tag` or `@digest`; empty for all tags that there are. */
  readonly version: string
}

const DEFAULT_REGISTRY = 'docker.io'
/** What makes the first part of a reference a host rather than a folder. */
const HOST = /[.:]/
const SCHEME = /^https?:\/\//

/** A reference as docker completes it: `redis` is `docker.io/library/redis:latest`. */
export const parseImage = (reference: string): ImageName => {
  const image = repositoryOf(reference)
  return image.version === '' ? { ...image, version: ':latest' } : image
}

export const printImage = ({ registry, repository, version }: ImageName): string =>
  `${registry}/${repository}${version}`

/** As `parseImage`, but no tag stays none. */
const repositoryOf = (reference: string): ImageName => {
  const [name = '', digest] = reference.split('@')
  const slash = name.indexOf('/')
  const first = slash === -1 ? '' : name.slice(0, slash)
  const isRegistry = HOST.test(first) || first === 'localhost' || first !== first.toLowerCase()
  const registry = isRegistry ? canonicalRegistry(first) : DEFAULT_REGISTRY
  const rest = isRegistry ? name.slice(slash + 1) : name
  const colon = rest.lastIndexOf(':')
  const path = colon === -1 ? rest : rest.slice(0, colon)
  const repository = registry === DEFAULT_REGISTRY && !path.includes('/') ? `library/${path}` : path
  const tag = colon === -1 ? '' : rest.slice(colon + 1)
  if (digest !== undefined) return { registry, repository, version: `@${digest}` }
  return { registry, repository, version: tag === '' ? '' : `:${tag}` }
}

const canonicalRegistry = (host: string): string =>
  host === 'index.docker.io' || host === 'registry-1.docker.io' ? DEFAULT_REGISTRY : host

/** What a POST /images/create pulls; undefined where it imports a tar. */
export const pullOf = (query: Query): ImageName | undefined => {
  const name = query.get('fromImage')?.[0] ?? ''
  const version = query.get('tag')?.[0] ?? ''
  if (name === '') return undefined
  const image = repositoryOf(name)
  if (version === '') return image
  return { ...image, version: `${version.includes(':') ? '@' : ':'}${version}` }
}

/** May this be pulled? Patterns are `registry/path`, with or without a version; `*` stands for anything. */
export const isPullAllowed = (policy: Policy, image: ImageName): boolean => {
  if (policy.images === undefined) return true
  const name = printImage({ ...image, version: '' })
  return policy.images.some(
    (pattern) => matches(pattern, name) || matches(pattern, printImage(image)),
  )
}

/** Does it matter under this policy where an image came from? */
export const asksForOrigins = ({ images, localImages }: Policy): boolean =>
  images !== undefined || !localImages

/**
 * May this image run?
 * @param origins all that is known of how the image, by its id, came here; nothing known counts as local
 */
export const judgeImage = (
  policy: Policy,
  reference: string,
  origins: readonly Origin[],
): Provenance => {
  if (!asksForOrigins(policy)) return { allowed: true }
  const pulled = origins.filter((origin) => origin.kind === 'pulled')
  if (pulled.some((origin) => isPullAllowed(policy, parseImage(origin.from))))
    return { allowed: true }
  if (pulled.length === 0 && policy.localImages) return { allowed: true }
  return pulled.length === 0
    ? {
        allowed: false,
        why: `${reference} was not pulled from a registry`,
        cure: 'Push it to a registry that is allowed here, and pull it.',
      }
    : {
        allowed: false,
        why: `${reference} comes from ${pulled.map((origin) => origin.from).join(', ')}`,
        cure: `Use an image of ${policy.images?.join(', ') ?? 'a registry that is allowed here'}.`,
      }
}

/** May credentials be tried at this registry? Any may where images may come from anywhere. */
export const isRegistryAllowed = (policy: Policy, server: string): boolean => {
  if (policy.images === undefined) return true
  const host = server.replace(SCHEME, '').split('/')[0] ?? ''
  const registry = host === '' ? DEFAULT_REGISTRY : canonicalRegistry(host)
  return policy.images.some((pattern) => matches(pattern.split('/')[0] ?? '', registry))
}
