import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { acceptsContentType } from '../../src/route/content-type.ts'
import { match } from '../../src/route/match.ts'
import { ROUTES } from '../../src/route/routes.ts'

const outcome = (request: string, contentType: string | undefined, hasBody: boolean) => {
  const [method = '', target = ''] = request.split(' ')
  try {
    return acceptsContentType(match(method, target).route, contentType, hasBody)
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}

const JSON_TYPE = 'application/json'
const TAR = 'application/x-tar'
const FORM = 'application/x-www-form-urlencoded'

/** Request, Content-Type, whether there is a body, and what is sent upstream or the refusal. */
const CASES: readonly (readonly [string, string | undefined, boolean, string | undefined])[] = [
  // as seen from real clients
  ['GET /info', undefined, false, undefined],
  ['DELETE /containers/a', undefined, false, undefined],
  ['POST /containers/a/start', undefined, false, undefined],
  ['POST /containers/a/start', JSON_TYPE, true, undefined],
  ['POST /containers/a/attach', 'text/plain', false, undefined],
  ['POST /containers/a/attach', JSON_TYPE, true, undefined],
  ['POST /containers/create', JSON_TYPE, true, JSON_TYPE],
  ['POST /containers/create', 'Application/JSON; charset=utf-8', true, JSON_TYPE],
  ['POST /exec/a/start', JSON_TYPE, true, JSON_TYPE],
  ['POST /exec/a/start', undefined, false, undefined],
  ['POST /images/a/push', JSON_TYPE, true, undefined],
  ['POST /images/create?fromImage=a', undefined, false, undefined],
  ['POST /images/create?fromImage=a', JSON_TYPE, true, TAR],
  ['POST /images/create?fromSrc=-', 'text/plain', true, TAR],
  ['POST /images/load', TAR, true, TAR],
  ['POST /images/load', undefined, true, TAR],
  ['POST /build', 'application/tar', true, TAR],
  ['POST /build?remote=x', undefined, false, undefined],
  ['PUT /containers/a/archive', 'text/plain', true, TAR],
  ['PUT /containers/a/archive', 'application/octet-stream', true, TAR],
  ['POST /grpc', undefined, false, undefined],
  // a body where there is none
  ['POST /containers/a/kill', undefined, true, undefined],
  ['GET /info', undefined, true, 'BODY_NOT_ALLOWED'],
  ['GET /info', JSON_TYPE, true, 'BODY_NOT_ALLOWED'],
  ['HEAD /_ping', undefined, true, 'BODY_NOT_ALLOWED'],
  ['DELETE /containers/a', JSON_TYPE, true, 'BODY_NOT_ALLOWED'],
  ['POST /containers/a/attach', undefined, true, 'BODY_NOT_ALLOWED'],
  ['POST /containers/a/attach', 'text/plain', true, 'BODY_NOT_ALLOWED'],
  ['POST /session', JSON_TYPE, true, 'BODY_NOT_ALLOWED'],
  ['POST /grpc', undefined, true, 'BODY_NOT_ALLOWED'],
  // the wrong type
  ['POST /containers/create', undefined, true, 'CONTENT_TYPE'],
  ['POST /containers/create', 'text/plain', true, 'CONTENT_TYPE'],
  ['POST /containers/create', 'text/plain', false, 'CONTENT_TYPE'],
  ['POST /containers/create', `text/plain, ${JSON_TYPE}`, true, 'CONTENT_TYPE'],
  ['POST /containers/create', `${JSON_TYPE}, ${FORM}`, true, 'CONTENT_TYPE'],
  ['POST /containers/create', `${JSON_TYPE}x`, true, 'CONTENT_TYPE'],
  ['POST /build', JSON_TYPE, true, 'CONTENT_TYPE'],
  ['POST /containers/a/start', '', false, 'CONTENT_TYPE'],
  ['POST /containers/a/start', 'json', false, 'CONTENT_TYPE'],
]

test('each route sends one type upstream, and accepts what clients call it', async (t) => {
  for (const [request, type, hasBody, expected] of CASES) {
    t.equal(outcome(request, type, hasBody), expected, `${request} ${type} ${hasBody}`)
  }
})

test('forms are refused on every route, with a body and without', async (t) => {
  const forms = [
    FORM,
    `${FORM}; =`,
    `${FORM};charset=utf-8`,
    FORM.toUpperCase(),
    `${FORM} ;`,
    'multipart/form-data; boundary=B',
    'Multipart/Mixed',
  ]
  for (const route of ROUTES) {
    for (const form of forms) {
      for (const hasBody of [false, true]) {
        t.throws(() => acceptsContentType(route, form, hasBody), { code: 'CONTENT_TYPE' })
      }
    }
  }
})

test('a route that takes no body never sends a type upstream', async (t) => {
  for (const route of ROUTES.filter(({ body }) => body === 'none')) {
    t.equal(acceptsContentType(route, 'application/json', false), undefined, route.id)
  }
})
