/** Opens the store that a URL names. */

import { isAbsolute } from 'node:path'
import { Failure } from '../errors.ts'
import { decodePart } from './decode-part.ts'
import type { Store } from './store.ts'

// Each is loaded when it is named: a process uses one of them at most, and ioredis alone is 30 MB.

const LMDB = 'lmdb://'
const SCHEME = /^([a-z+]+):\/\//

/** The URL of the embedded store in the folder `path`, which may have any character in it. */
export const lmdbUrl = (path: string): string =>
  LMDB + path.split('/').map(encodeURIComponent).join('/')

const openLmdbUrl = async (url: string): Promise<Store> => {
  const path = decodePart('path', url.slice(LMDB.length))
  if (!isAbsolute(path)) {
    throw new Failure('STORE_URL', `"${path}" is not an absolute path: lmdb:///var/lib/berth`)
  }
  const { openLmdb } = await import('./lmdb.ts')
  return await openLmdb(path)
}

const openRedisUrl = async (url: string): Promise<Store> => {
  const { parseRedisUrl } = await import('./redis-url.ts')
  const { openRedis } = await import('./redis.ts')
  return openRedis(parseRedisUrl(url))
}

const SCHEMES: Readonly<Record<string, (url: string) => Promise<Store>>> = {
  lmdb: openLmdbUrl,
  redis: openRedisUrl,
  rediss: openRedisUrl,
  'redis+sentinel': openRedisUrl,
  'rediss+sentinel': openRedisUrl,
  'redis+cluster': openRedisUrl,
  'rediss+cluster': openRedisUrl,
}

/** Throws STORE_URL when the URL is wrong, STORE_UNAVAILABLE when what it names cannot be reached. */
export const openStore = async (url: string): Promise<Store> => {
  const scheme = SCHEME.exec(url)?.[1] ?? ''
  const open = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined
  if (open === undefined) {
    throw new Failure('STORE_URL', `it must start with ${Object.keys(SCHEMES).join('://, ')}://`)
  }
  return await open(url)
}
