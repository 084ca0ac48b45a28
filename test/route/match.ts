import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { match } from '../../src/route/match.ts'
import { ROUTES } from '../../src/route/routes.ts'
import { targetOf } from '../../src/route/target.ts'
import { NEWEST, OLDEST } from '../../src/route/version.ts'

/** What becomes of `METHOD target`: the upstream target, or the code of the refusal. */
const outcome = (request: string): string => {
  const [method = '', ...rest] = request.split(' ')
  try {
    return targetOf(match(method, rest.join(' ')))
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}

const ID = '4f5a'.repeat(16)
const deepJson = '%5B'.repeat(1000) + '%5D'.repeat(1000)

/** Attacks and their harmless neighbours: name, request, and what may become of it. */
const VECTORS: readonly (readonly [string, string, string])[] = [
  ['r-abs-form', 'GET http://d/_ping', 'PATH_NOT_PLAIN'],
  ['r-abs-form-host-diff', 'GET http://a/_ping', 'PATH_NOT_PLAIN'],
  ['r-abs-form-frag', 'GET http://d#/_ping', 'PATH_NOT_PLAIN'],
  ['r-abs-form-userinfo', 'GET http://a@b:80@c/_ping', 'PATH_NOT_PLAIN'],
  ['r-abs-scheme-unix', 'GET unix:///var/run/docker.sock', 'PATH_NOT_PLAIN'],
  ['r-query-only', 'GET ?x', 'PATH_NOT_PLAIN'],
  ['r-connect-path', 'CONNECT /v1.44/containers/json', 'NO_SUCH_ROUTE'],
  ['r-m-lower', 'get /_ping', 'NO_SUCH_ROUTE'],
  ['r-m-trace', 'TRACE /_ping', 'NO_SUCH_ROUTE'],
  ['r-m-patch', 'PATCH /_ping', 'NO_SUCH_ROUTE'],
  ['r-m-propfind', 'PROPFIND /_ping', 'NO_SUCH_ROUTE'],
  ['r-frag', 'GET /v1.44/containers/json#/../create', 'PATH_NOT_PLAIN'],
  ['r-frag-query', 'GET /v1.44/containers/json?all=1#&filters=x', 'QUERY_NOT_ACCEPTED'],
  ['r-8bit', 'GET /v1.44/containers/Ã©/json', 'PATH_NOT_PLAIN'],
  ['r-8bit-invalid', 'GET /v1.44/containers/ÿ/json', 'PATH_NOT_PLAIN'],
  ['r-del', 'GET /v1.44/containers/\x7f/json', 'PATH_NOT_PLAIN'],
  ['r-ctl-query', 'GET /v1.44/containers/json?all=\x01', 'QUERY_NOT_ACCEPTED'],
  ['r-char-dquote', 'GET /v1.44/containers/a"b/json', 'PATH_NOT_PLAIN'],
  ['r-char-lt', 'GET /v1.44/containers/a<b/json', 'PATH_NOT_PLAIN'],
  ['r-char-gt', 'GET /v1.44/containers/a>b/json', 'PATH_NOT_PLAIN'],
  ['r-char-bslash', 'GET /v1.44/containers/a\\b/json', 'PATH_NOT_PLAIN'],
  ['r-char-caret', 'GET /v1.44/containers/a^b/json', 'PATH_NOT_PLAIN'],
  ['r-char-backtick', 'GET /v1.44/containers/a`b/json', 'PATH_NOT_PLAIN'],
  ['r-char-lbrace', 'GET /v1.44/containers/a{b/json', 'PATH_NOT_PLAIN'],
  ['r-char-pipe', 'GET /v1.44/containers/a|b/json', 'PATH_NOT_PLAIN'],
  ['r-char-rbrace', 'GET /v1.44/containers/a}b/json', 'PATH_NOT_PLAIN'],
  ['r-char-semi', 'GET /v1.44/containers/a;b/json', 'PATH_NOT_PLAIN'],
  ['r-slash-only', 'GET /', 'PATH_NOT_PLAIN'],
  ['r-ok-v', 'GET /v1.44/containers/json?all=1', '/v1.44/containers/json?all=1'],
  ['p-ok-plain', 'GET /containers/json', '/containers/json'],
  ['p-dslash-net', 'GET //evil/v1.44/containers/json', 'PATH_NOT_PLAIN'],
  ['p-tslash', 'GET /v1.44/containers/json/', 'PATH_NOT_PLAIN'],
  ['p-tslash-net', 'GET /v1.44/networks/', '/v1.44/networks'],
  ['p-tslash-del', 'DELETE /v1.44/containers/x/', 'PATH_NOT_PLAIN'],
  ['p-del-empty', 'DELETE /v1.44/containers/', 'PATH_NOT_PLAIN'],
  ['p-dot', 'GET /v1.44/./containers/json', 'PATH_NOT_PLAIN'],
  ['p-enc-dot', 'GET /v1.44/%2e/containers/json', 'PATH_NOT_PLAIN'],
  ['p-dotdot-name', 'GET /v1.44/containers/a..b/json', '/v1.44/containers/a..b/json'],
  ['p-enc-slash-name', 'GET /v1.44/containers/a%2fexec/json', 'PATH_NOT_PLAIN'],
  ['p-enc-slash-route', 'GET /v1.44/containers/x%2farchive?path=/', 'PATH_NOT_PLAIN'],
  ['p-enc-slash-del', 'DELETE /v1.44/images/a%2Fb', 'PATH_NOT_PLAIN'],
  ['p-enc-slash-up', 'GET /v1.44/containers/x%2F..%2Fjson', 'PATH_NOT_PLAIN'],
  ['p-enc-version', 'GET /%76%31.44/containers/json', 'PATH_NOT_PLAIN'],
  ['p-enc-letters', 'GET /v1.44/%63ontainers/json', 'PATH_NOT_PLAIN'],
  ['p-enc-letters2', 'POST /v1.44/containers/%63reate', 'PATH_NOT_PLAIN'],
  ['p-enc-nul', 'GET /v1.44/containers/x%00/json', 'PATH_NOT_PLAIN'],
  ['p-enc-lf', 'GET /v1.44/containers/x%0ay/json', 'PATH_NOT_PLAIN'],
  ['p-enc-2028', 'GET /v1.44/containers/x%E2%80%A8y/json', 'PATH_NOT_PLAIN'],
  ['p-enc-cr', 'GET /v1.44/containers/x%0dy/json', 'PATH_NOT_PLAIN'],
  ['p-enc-badutf8', 'GET /v1.44/containers/%ff/json', 'PATH_NOT_PLAIN'],
  ['p-enc-overlong', 'GET /v1.44/containers/x%c0%afjson', 'PATH_NOT_PLAIN'],
  ['p-enc-utf8', 'GET /v1.44/containers/%C3%A9/json', 'PATH_NOT_PLAIN'],
  ['p-enc-fullwidth', 'GET /v1.44/containers%EF%BC%8Fjson', 'PATH_NOT_PLAIN'],
  ['p-enc-bslash', 'GET /v1.44/containers%5cjson', 'PATH_NOT_PLAIN'],
  ['p-bslash-dotdot', 'GET /v1.44/containers/x/..\\json', 'PATH_NOT_PLAIN'],
  ['p-enc-pct', 'GET /v1.44/containers%252fjson', 'PATH_NOT_PLAIN'],
  ['p-enc-sp', 'GET /v1.44/containers/a%20b/json', 'PATH_NOT_PLAIN'],
  ['p-plus', 'GET /v1.44/containers/a+b/json', 'PATH_NOT_PLAIN'],
  ['p-enc-q', 'GET /v1.44/containers/x%3fall=1/json', 'PATH_NOT_PLAIN'],
  ['p-enc-hash', 'GET /v1.44/containers/x%23/json', 'PATH_NOT_PLAIN'],
  ['p-params', 'GET /v1.44;x=1/containers/json', 'VERSION_NOT_SERVED'],
  ['p-params2', 'GET /v1.44/containers/x;/../json', 'PATH_NOT_PLAIN'],
  ['p-v-none', 'GET /v/containers/json', 'NO_SUCH_ROUTE'],
  ['p-v-dots', 'GET /v.../containers/json', 'VERSION_NOT_SERVED'],
  ['p-v-only-major', 'GET /v1/containers/json', 'VERSION_NOT_SERVED'],
  ['p-v-3part', 'GET /v1.44.0/containers/json', 'VERSION_NOT_SERVED'],
  ['p-v-lead-dot', 'GET /v.1.44/containers/json', 'VERSION_NOT_SERVED'],
  ['p-v-old', 'GET /v1.12/containers/json', 'VERSION_NOT_SERVED'],
  ['p-v-new', 'GET /v1.99/containers/json', 'VERSION_NOT_SERVED'],
  ['p-v-case', 'GET /V1.44/containers/json', 'NO_SUCH_ROUTE'],
  ['p-v-double', 'GET /v1.44/v1.44/containers/json', 'NO_SUCH_ROUTE'],
  ['p-v-plus', 'GET /v+1.44/containers/json', 'PATH_NOT_PLAIN'],
  ['p-v-enc-dot', 'GET /v1%2e44/containers/json', 'VERSION_NOT_SERVED'],
  ['p-case-action', 'GET /v1.44/containers/x/JSON', 'NO_SUCH_ROUTE'],
  ['p-greedy-3', 'POST /v1.44/containers/mine/exec/other/start', 'NO_SUCH_ROUTE'],
  ['p-greedy-7', 'GET /v1.44/images/get/get', 'NO_SUCH_ROUTE'],
  ['p-greedy-9', 'GET /v1.44/exec//json', 'PATH_NOT_PLAIN'],
  ['p-greedy-10', 'DELETE /v1.44/containers/a/checkpoints/b', 'NO_SUCH_ROUTE'],
  ['p-greedy-11', 'DELETE /v1.44/containers/a/b', 'NO_SUCH_ROUTE'],
  ['p-opt-any', 'OPTIONS /v1.44/containers/x/json', 'NO_SUCH_ROUTE'],
  ['p-debug', 'GET /debug/pprof/heap', 'NO_SUCH_ROUTE'],
  ['p-debug-v', 'GET /v1.44/debug/pprof/profile?seconds=600', 'NO_SUCH_ROUTE'],
  ['p-debug-vars', 'GET /v1.44/debug/vars', 'NO_SUCH_ROUTE'],
  ['p-head-get', 'HEAD /v1.44/containers/json', 'NO_SUCH_ROUTE'],
  [
    'p-enc-colon',
    'GET /v1.44/images/alpine%40sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/json',
    '/v1.44/images/alpine@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/json',
  ],
  ['p-img-route-shadow', 'DELETE /v1.44/images/a/json', '/v1.44/images/a/json'],
  ['p-img-push-shadow', 'POST /v1.44/images/prune/tag?repo=x', '/v1.44/images/prune/tag?repo=x'],
  ['p-vol-slash', 'GET /v1.44/volumes/a/b', 'NO_SUCH_ROUTE'],
  ['p-net-plus', 'GET /v1.44/networks/a/b', 'NO_SUCH_ROUTE'],
  [
    'p-plugin-slash',
    'GET /v1.44/plugins/vieux/sshfs:latest/json',
    '/v1.44/plugins/vieux/sshfs:latest/json',
  ],
  ['q-enc-key', 'POST /v1.44/images/create?%66romImage=a', '/v1.44/images/create?fromImage=a'],
  ['q-semi', 'POST /v1.44/images/create?fromImage=ok;tag=evil', 'QUERY_NOT_ACCEPTED'],
  [
    'q-semi-hide',
    'POST /v1.44/images/create?a=1;fromImage=evil&fromImage=ok',
    'QUERY_NOT_ACCEPTED',
  ],
  [
    'q-badesc-build',
    'POST /v1.44/build?networkmode=none&networkmode=%zz&remote=%',
    'QUERY_NOT_ACCEPTED',
  ],
  ['q-plus', 'GET /v1.44/containers/json?filters=a+b', '/v1.44/containers/json?filters=a%20b'],
  ['q-rawsp', 'GET /v1.44/containers/json?filters=a\tb', 'QUERY_NOT_ACCEPTED'],
  ['q-amp', 'GET /v1.44/containers/json?&&all=1&', '/v1.44/containers/json?all=1'],
  ['q-qq', 'GET /v1.44/containers/json?all=1?limit=2', 'QUERY_NOT_ACCEPTED'],
  ['q-brackets', 'POST /v1.44/images/create?fromImage[]=evil', 'QUERY_NOT_ACCEPTED'],
  ['q-case', 'POST /v1.44/images/create?FromImage=evil&fromImage=ok', 'QUERY_NOT_ACCEPTED'],
  ['q-unknown', 'GET /v1.44/containers/json?frob=1', 'QUERY_NOT_ACCEPTED'],
  ['q-bool-nbsp', 'DELETE /v1.44/containers/x?v=%C2%A0', 'QUERY_NOT_ACCEPTED'],
  ['q-bool-dup', 'DELETE /v1.44/containers/x?force=0&force=1', 'QUERY_NOT_ACCEPTED'],
  ['q-int-plus', 'POST /v1.44/containers/x/resize?h=%2B5&w=5', 'QUERY_NOT_ACCEPTED'],
  ['q-int-neg', 'POST /v1.44/containers/x/stop?t=-1', '/v1.44/containers/x/stop?t=-1'],
  ['q-int-big', 'GET /v1.44/containers/json?limit=9007199254740993', 'QUERY_NOT_ACCEPTED'],
  ['q-int-hex', 'GET /v1.44/containers/json?limit=0x10', 'QUERY_NOT_ACCEPTED'],
  ['q-badutf8', 'GET /v1.44/containers/json?filters=%ff', 'QUERY_NOT_ACCEPTED'],
  ['q-nul', 'GET /v1.44/containers/x/archive?path=/etc%00/x', 'QUERY_NOT_ACCEPTED'],
  [
    'q-path-dotdot',
    'GET /v1.44/containers/x/archive?path=/data/../../etc/shadow',
    'QUERY_NOT_ACCEPTED',
  ],
  [
    'q-filters-dupkey',
    'GET /v1.44/containers/json?filters=%7B%22label%22%3A%5B%22t%3D1%22%5D%2C%22label%22%3A%5B%22x%22%5D%7D',
    'QUERY_NOT_ACCEPTED',
  ],
  [
    'q-filters-false',
    'GET /v1.44/containers/json?filters=%7B%22label%22%3A%7B%22t%3D1%22%3Afalse%7D%7D',
    '/v1.44/containers/json?filters=%7B%22label%22%3A%7B%22t%3D1%22%3Atrue%7D%7D',
  ],
  [
    'q-filters-mixed',
    'GET /v1.44/containers/json?filters=%7B%22label%22%3A%5B%22a%22%5D%2C%22name%22%3A%7B%22b%22%3Atrue%7D%7D',
    'QUERY_NOT_ACCEPTED',
  ],
  ['p-long-seg', `GET /v1.44/containers/${'a'.repeat(900)}/json`, 'PATH_NOT_PLAIN'],
  ['p-long-seg-256', `GET /v1.44/containers/${'a'.repeat(256)}/json`, 'PATH_NOT_PLAIN'],
  ['long image segment', `GET /v1.44/images/${'a'.repeat(256)}/json`, 'PATH_NOT_PLAIN'],
  ['p-many-seg', `GET /v1.44/images/${'a/'.repeat(400)}json`, 'PATH_NOT_PLAIN'],
  ['p-many-short-seg', `GET /v1.44/images/${'a/'.repeat(21)}json`, 'NO_SUCH_ROUTE'],
  ['q-many', `GET /v1.44/containers/json?${'a&'.repeat(12_000)}a`, 'QUERY_NOT_ACCEPTED'],
  ['q-filters-deep', `GET /v1.44/containers/json?filters=${deepJson}`, 'QUERY_NOT_ACCEPTED'],
  // more of the same kind
  ['checkpoint list', 'GET /v1.44/containers/a/checkpoints', '/v1.44/containers/a/checkpoints'],
  ['inspect of a/checkpoints', 'GET /v1.44/containers/a/checkpoints/json', 'NO_SUCH_ROUTE'],
  ['start of prune', 'POST /containers/prune/start', '/containers/prune/start'],
  ['websocket', 'GET /v1.44/containers/a/attach/ws', '/v1.44/containers/a/attach/ws'],
  ['slash first', 'GET /v1.44/containers//a/json', 'PATH_NOT_PLAIN'],
  ['image called json', 'GET /v1.44/images/json/json', 'NO_SUCH_ROUTE'],
  ['image a/get', 'GET /v1.44/images/a/get/json', '/v1.44/images/a/get/json'],
  ['image without action', 'GET /v1.44/images/a', 'NO_SUCH_ROUTE'],
  ['escaped tag', 'GET /v1.44/images/a%3a1/json', '/v1.44/images/a:1/json'],
  ['escape in a name', 'GET /v1.44/containers/a%3a1/json', 'PATH_NOT_PLAIN'],
  ['escape of nothing', 'GET /v1.44/images/a%253a1/json', 'PATH_NOT_PLAIN'],
  ['exec of nobody', 'GET /v1.44/exec/json', 'NO_SUCH_ROUTE'],
  ['version only', 'GET /v1.44', 'VERSION_NOT_SERVED'],
  ['padded version', 'GET /v1.044/info', 'VERSION_NOT_SERVED'],
  ['prototype', 'GET /constructor', 'NO_SUCH_ROUTE'],
  ['prototype method', 'constructor /info', 'NO_SUCH_ROUTE'],
  ['empty', 'GET ', 'PATH_NOT_PLAIN'],
]

test('every vector is forwarded in its one canonical form, or refused', async (t) => {
  for (const [name, request, expected] of VECTORS) t.equal(outcome(request), expected, name)
})

test('every target that real clients were seen to send is accepted', async (t) => {
  const file = new URL('../../fixtures/targets.txt', import.meta.url)
  for (const request of readFileSync(file, 'utf8').trim().split('\n')) {
    t.match(outcome(request), /^\//, request)
  }
})

test('a version too old or too new is refused in the words of dockerd', async (t) => {
  const says = (target: string): string => {
    try {
      return targetOf(match('GET', target))
    } catch (error) {
      return (error as Failure).message
    }
  }
  t.match(
    says('/v1.12/info'),
    'client version 1.12 is too old. Minimum supported API version is 1.24',
  )
  t.match(says('/v0.9/info'), 'client version 0.9 is too old')
  t.match(
    says('/v1.61/info'),
    'client version 1.61 is too new. Maximum supported API version is 1.60',
  )
  t.match(says('/v2.0/info'), 'client version 2.0 is too new')
})

test('what arrived without a version gets the one its endpoint speaks, but for what must stay bare', async (t) => {
  t.equal(targetOf(match('GET', '/info'), 'v1.51'), '/v1.51/info')
  t.equal(targetOf(match('GET', '/v1.44/info'), 'v1.51'), '/v1.51/info')
  t.equal(targetOf(match('GET', '/v1.44/info'), ''), '/info')
  t.equal(targetOf(match('HEAD', '/_ping'), 'v1.51'), '/_ping')
  t.equal(targetOf(match('POST', '/grpc'), 'v1.51'), '/grpc')
  t.equal(targetOf(match('POST', '/session'), 'v1.51'), '/session')
  t.equal(targetOf(match('GET', '/v1.44/_ping'), 'v1.51'), '/v1.51/_ping')
})

test('a path is accepted up to 512 bytes and no further', async (t) => {
  const image = (length: number) => `${'a'.repeat(200)}/${'b'.repeat(200)}/${'c'.repeat(length)}`
  const around = '/v1.44/images//json'.length
  t.match(outcome(`GET /v1.44/images/${image(512 - 402 - around)}/json`), /^\//)
  t.equal(outcome(`GET /v1.44/images/${image(513 - 402 - around)}/json`), 'PATH_NOT_PLAIN')
})

// === Properties ===

const PIECES = [
  ...new Set(ROUTES.flatMap(({ template }) => template.split('/').filter((s) => !s.includes('{')))),
  ...[
    'a',
    'a.b',
    ID,
    'host:5000',
    'x@sha256:ab',
    '.',
    '..',
    '',
    '%2e',
    'a%2Fb',
    'a%40b',
    '%3A',
    'a b',
  ],
  ...[
    'a;b',
    'a?b',
    'a#b',
    'é',
    '\\',
    'V1.44',
    'v1.44',
    'v1.61',
    'constructor',
    '__proto__',
    '-a',
    '_a',
  ],
]
const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE')
const path = fc
  .tuple(
    fc.constantFrom('', '/v1.44', '/v1.24', '/v1.60', '/v1.99', '/v1'),
    fc.array(fc.constantFrom(...PIECES), { maxLength: 6 }),
  )
  .map(([version, pieces]) => [version, ...pieces].join('/'))
/** Targets near enough to the table that many are accepted. */
const accepted = fc
  .tuple(fc.constantFrom(...ROUTES), fc.constantFrom('', '/v1.24', '/v1.51'), fc.string())
  .map(([route, version, name]) => {
    const plain = `n${name.replace(/[^A-Za-z0-9_.-]/g, '')}`
    const target = `${version}${route.before}${route.param ? plain : ''}${route.after}`
    return { method: route.method, target }
  })

test('whatever is accepted is a fixed point', async () => {
  const holds = (verb: string, target: string) => {
    if (!outcome(`${verb} ${target}`).startsWith('/')) return true
    const once = match(verb, target)
    const emitted = targetOf(once)
    const twice = match(verb, emitted)
    return (
      twice.route === once.route &&
      twice.version === once.version &&
      String(twice.params) === String(once.params) &&
      targetOf(twice) === emitted
    )
  }
  fc.assert(fc.property(method, path, holds), { numRuns: 5000 })
  fc.assert(fc.property(accepted, (request) => holds(request.method, request.target)))
})

test('a canonical path has no empty, dot or escaped segment', async () => {
  fc.assert(
    fc.property(method, path, (verb, target) => {
      const emitted = outcome(`${verb} ${target}`)
      return (
        !emitted.startsWith('/') || /^(\/(?!\.{1,2}(\/|$))[\w.:@-]+)+$/.test(emitted.split('?')[0]!)
      )
    }),
    { numRuns: 5000 },
  )
})

test('any text at all is either matched or refused with a Failure', async () => {
  fc.assert(
    fc.property(fc.string(), fc.string({ unit: 'binary' }), (verb, target) => {
      outcome(`${verb} ${target}`)
      outcome(`GET /v1.44/containers/json?${target}`)
      outcome(
        `GET /v1.44/containers/json?filters=${encodeURIComponent(target.replace(/\p{Cs}/gu, ''))}`,
      )
    }),
  )
})

test('percent-encoding any character of an accepted path changes nothing or gets it refused', async () => {
  fc.assert(
    fc.property(accepted, fc.array(fc.nat(), { minLength: 1, maxLength: 4 }), (request, places) => {
      const encoded = new Set(places.map((place) => place % request.target.length))
      const target = Array.from(request.target, (char, i) =>
        encoded.has(i) ? `%${char.charCodeAt(0).toString(16)}` : char,
      ).join('')
      const now = outcome(`${request.method} ${target}`)
      return now === outcome(`${request.method} ${request.target}`) || !now.startsWith('/')
    }),
  )
})

test('only the canonical spelling of a version within the range is accepted', async () => {
  const version = fc.oneof(
    fc.stringMatching(/^[0-9.]{0,6}$/),
    fc.tuple(fc.nat(3), fc.nat(120)).map(([major, minor]) => `${major}.${minor}`),
  )
  fc.assert(
    fc.property(version, (text) => {
      const served =
        /^1\.[1-9]\d$/.test(text) && +text.slice(2) >= OLDEST && +text.slice(2) <= NEWEST
      const emitted = outcome(`GET /v${text}/info`)
      return served ? emitted === `/v${text}/info` : !emitted.startsWith('/')
    }),
    { numRuns: 2000 },
  )
})
