/** The API version at the start of a path: exactly `/v1.NN`, or none. */

import { Failure } from '../errors.ts'

/** What Docker 20.10 to 28 still answer to, and what clients fall back to when a ping names no version. */
export const OLDEST = 24
/** Docker 29 speaks 1.5x; the rest is room for its next releases, which refuse what they do not know themselves. */
export const NEWEST = 60

const SERVED: ReadonlySet<string> = new Set(
  Array.from({ length: NEWEST - OLDEST + 1 }, (_, i) => `v1.${OLDEST + i}`),
)
const LENGTH = 'v1.NN'.length
const VERSION_LIKE = /^\/v[0-9.]/
const NUMBERS = /^\/v([0-9]+)\.([0-9]+)(?:\/|$)/

/** `'v1.44'` of `/v1.44/info`, `''` of `/info`; refuses every other spelling that an engine would understand. */
export const versionOf = (path: string): string => {
  if (!VERSION_LIKE.test(path)) return ''
  const version = path.slice(1, 1 + LENGTH)
  if (SERVED.has(version) && path[1 + LENGTH] === '/') return version
  throw notServed(path)
}

/** Says it in the words of dockerd where dockerd has words for it. */
const notServed = (path: string): Failure => {
  const [, major, minor] = NUMBERS.exec(path) ?? []
  const asked = `${major}.${minor}`
  if (Number(major) < 1 || (Number(major) === 1 && Number(minor) < OLDEST)) {
    return new Failure(
      'VERSION_NOT_SERVED',
      `client version ${asked} is too old. Minimum supported API version is 1.${OLDEST}, please upgrade your client to a newer version`,
    )
  }
  if (Number(major) > 1 || Number(minor) > NEWEST) {
    return new Failure(
      'VERSION_NOT_SERVED',
      `client version ${asked} is too new. Maximum supported API version is 1.${NEWEST}`,
    )
  }
  return new Failure('VERSION_NOT_SERVED', `write it as /v1.${OLDEST} to /v1.${NEWEST}`)
}
