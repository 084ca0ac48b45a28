/** Which content types a route accepts, and the one that berth sends upstream in their place. */

import { Failure } from '../errors.ts'
import type { Body, Route } from './route.ts'

interface Accepted {
  readonly types: ReadonlySet<string>
  /** Whether a body may come without a Content-Type. */
  readonly untyped: boolean
  readonly sends: string
}

/** What clients call a tar, packed or not; the engine looks at its first bytes only. */
const TAR = [
  'application/x-tar',
  'application/tar',
  'application/octet-stream',
  'application/gzip',
  'application/x-gzip',
  'application/x-bzip2',
  'application/x-xz',
  'application/zstd',
  'text/plain', // the docker CLI, on `docker cp` and `docker import`
]

const ACCEPTED: Readonly<Record<Exclude<Body, 'none'>, Accepted>> = {
  json: { types: new Set(['application/json']), untyped: false, sends: 'application/json' },
  tar: { types: new Set(TAR), untyped: true, sends: 'application/x-tar' },
  // dockerode pulls with its options repeated as a JSON body, which the engine does not read
  import: {
    types: new Set([...TAR, 'application/json']),
    untyped: true,
    sends: 'application/x-tar',
  },
}

/** RFC 9110 8.3.1, up to the parameters, which nothing here depends on. */
const MEDIA_TYPE = /^([a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+)[ \t]*(?:;|$)/

/**
 * The Content-Type that berth itself sends upstream with the body of this request, or undefined for none.
 * Forms are refused everywhere, body or no body: Go parses them before the query and lets them win over it.
 *
 * A route whose `body` is `none` never has one upstream: what came (docker-py and dockerode send some with
 * most POSTs) has to be read and dropped by the caller.
 *
 * @param contentType the one Content-Type field of the request, as sent
 * @param hasBody whether the request is framed with a body: a Content-Length above 0, or chunked
 * @throws Failure CONTENT_TYPE or BODY_NOT_ALLOWED
 */
export const acceptsContentType = (
  route: Route,
  contentType: string | undefined,
  hasBody: boolean,
): string | undefined => {
  const type = contentType === undefined ? undefined : mediaType(contentType)
  if (route.body === 'none') {
    if (hasBody && !mayDropBody(route, type)) throw new Failure('BODY_NOT_ALLOWED')
    return undefined
  }
  const { types, untyped, sends } = ACCEPTED[route.body]
  if (type === undefined) {
    if (!hasBody) return undefined
    if (untyped) return sends
    throw new Failure('CONTENT_TYPE', `send ${sends}`)
  }
  if (types.has(type)) return sends
  throw new Failure('CONTENT_TYPE', `"${type}" was sent, ${sends} is expected`)
}

/** On a connection about to be taken over, a stray body could pass for the first bytes of the stream. */
const mayDropBody = (route: Route, type: string | undefined): boolean => {
  if (route.method !== 'POST') return false
  if (route.hijack === 'none') return true
  return route.hijack === 'tcp' && type === 'application/json' // dockerode's attach
}

const mediaType = (text: string): string => {
  const type = MEDIA_TYPE.exec(text.toLowerCase())?.[1]
  if (type === undefined) throw new Failure('CONTENT_TYPE', 'it is not a media type')
  if (type === 'application/x-www-form-urlencoded' || type.startsWith('multipart/')) {
    throw new Failure('CONTENT_TYPE', `"${type}" was sent, and forms are not accepted`)
  }
  return type
}
