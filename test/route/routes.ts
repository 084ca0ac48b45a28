import fc from 'fast-check'
import { test } from 'tap'
import { match } from '../../src/route/match.ts'
import { ROUTES } from '../../src/route/routes.ts'
import { targetOf } from '../../src/route/target.ts'

/**
 * The patterns of a Docker engine (API 1.56) in the order in which its router tries them.
 * `{x}` is one segment, `{x:.*}` anything.
 */
const ENGINE = `
GET /containers/{name:.*}/checkpoints
POST /containers/{name:.*}/checkpoints
DELETE /containers/{name}/checkpoints/{checkpoint}
HEAD /containers/{name:.*}/archive
GET /containers/json
GET /containers/{name:.*}/export
GET /containers/{name:.*}/changes
GET /containers/{name:.*}/json
GET /containers/{name:.*}/top
GET /containers/{name:.*}/logs
GET /containers/{name:.*}/stats
GET /containers/{name:.*}/attach/ws
GET /exec/{id:.*}/json
GET /containers/{name:.*}/archive
POST /containers/create
POST /containers/{name:.*}/kill
POST /containers/{name:.*}/pause
POST /containers/{name:.*}/unpause
POST /containers/{name:.*}/restart
POST /containers/{name:.*}/start
POST /containers/{name:.*}/stop
POST /containers/{name:.*}/wait
POST /containers/{name:.*}/resize
POST /containers/{name:.*}/attach
POST /containers/{name:.*}/exec
POST /exec/{name:.*}/start
POST /exec/{name:.*}/resize
POST /containers/{name:.*}/rename
POST /containers/{name:.*}/update
POST /containers/prune
POST /commit
PUT /containers/{name:.*}/archive
DELETE /containers/{name:.*}
GET /images/json
GET /images/search
GET /images/get
GET /images/{name:.*}/get
GET /images/{name:.*}/history
GET /images/{name:.*}/json
GET /images/{name:.*}/attestations
POST /images/load
POST /images/create
POST /images/{name:.*}/push
POST /images/{name:.*}/tag
POST /images/prune
DELETE /images/{name:.*}
OPTIONS /{anyroute:.*}
GET /_ping
HEAD /_ping
GET /events
GET /info
GET /version
GET /system/df
POST /auth
GET /volumes
GET /volumes/{name:.*}
POST /volumes/create
POST /volumes/prune
PUT /volumes/{name:.*}
DELETE /volumes/{name:.*}
POST /build
POST /build/prune
POST /build/cancel
POST /session
POST /swarm/init
POST /swarm/join
POST /swarm/leave
GET /swarm
GET /swarm/unlockkey
POST /swarm/update
POST /swarm/unlock
GET /services
GET /services/{id}
POST /services/create
POST /services/{id}/update
DELETE /services/{id}
GET /services/{id}/logs
GET /nodes
GET /nodes/{id}
DELETE /nodes/{id}
POST /nodes/{id}/update
GET /tasks
GET /tasks/{id}
GET /tasks/{id}/logs
GET /secrets
POST /secrets/create
DELETE /secrets/{id}
GET /secrets/{id}
POST /secrets/{id}/update
GET /configs
POST /configs/create
DELETE /configs/{id}
GET /configs/{id}
POST /configs/{id}/update
GET /plugins
GET /plugins/{name:.*}/json
GET /plugins/privileges
DELETE /plugins/{name:.*}
POST /plugins/{name:.*}/enable
POST /plugins/{name:.*}/disable
POST /plugins/pull
POST /plugins/{name:.*}/push
POST /plugins/{name:.*}/upgrade
POST /plugins/{name:.*}/set
POST /plugins/create
GET /distribution/{name:.*}/json
GET /networks
GET /networks/
GET /networks/{id:.+}
POST /networks/create
POST /networks/{id:.*}/connect
POST /networks/{id:.*}/disconnect
POST /networks/prune
DELETE /networks/{id:.*}
GET /debug/vars
GET /debug/pprof/
GET /debug/pprof/cmdline
GET /debug/pprof/profile
GET /debug/pprof/symbol
GET /debug/pprof/trace
GET /debug/pprof/{name}
POST /grpc
`
  .trim()
  .split('\n')
  .map((line) => line.split(' ') as [string, string])

/** Served by an engine, refused by berth. */
const LEFT_OUT = [/^OPTIONS /, /^GET \/debug\//, /^DELETE \/containers\/{}\/checkpoints\/{}$/]

/** A template or pattern without the names of its parameters. */
const bare = (template: string): string => template.replace(/\{[^}]+\}/g, '{}')
const keyOf = (verb: string, template: string): string => `${verb} ${bare(template)}`

const PATTERNS = ENGINE.map(([verb, pattern]) => {
  const source = pattern
    .replace(/\{[a-z]+\}/g, '([^/]+)')
    .replace(/\{[a-z]+:(\.[*+])\}/g, (_, any) => `([^\\n]${any[1]})`)
  return { key: keyOf(verb, pattern), verb, path: new RegExp(`^(?:/v[0-9.]+)?${source}$`) }
})

/** What the engine's router makes of a path: first match wins. */
const routeOfEngine = (verb: string, path: string) => {
  for (const pattern of PATTERNS) {
    const found = verb === pattern.verb && pattern.path.exec(path)
    if (found) return { key: pattern.key, params: found.slice(1) }
  }
  return undefined
}

const NAME = { image: 'host:5000/some/image:tag@sha256:abcdef', plugin: 'vieux/sshfs:latest' }
const VALUE = {
  flag: ['1'],
  integer: ['-15'],
  text: ['a b+c/d&e=é'],
  'text[]': ['a', 'b', 'a'],
  prose: ['two\nlines'],
  'prose[]': ['LABEL a=b', 'ENV c=d'],
  json: ['{"a":[1,{"b":null}]}'],
  'json[]': ['{"os":"linux"}', 'linux/amd64'],
  filters: ['{"label":{"a=b":true}}'],
  path: ['/some/path with spaces'],
  dropped: [],
} as const

const nameFor = (param: string | undefined): string =>
  param === 'image' || param === 'plugin' ? NAME[param] : 'Some-name_1.2'

test('the table has every route of an engine but those left out, and no other', async (t) => {
  const ours = ROUTES.map(({ method, template }) => keyOf(method, template))
  const theirs = ENGINE.map(([verb, pattern]) => keyOf(verb, pattern.replace(/(?<=.)\/$/, '')))
  const served = theirs.filter((key) => !LEFT_OUT.some((left) => left.test(key)))
  t.same(ours.toSorted(), [...new Set(served)].toSorted())
})

test('no two routes share a method and a template, and ids are resource.action', async (t) => {
  t.equal(
    new Set(ROUTES.map(({ method, template }) => keyOf(method, template))).size,
    ROUTES.length,
  )
  for (const { id } of ROUTES) t.match(id, /^[a-z]+\.[a-z-]+$/)
})

test('a route that reads JSON has no query key with a capital, since those are dropped', async (t) => {
  for (const { body, query, id } of ROUTES) {
    if (body === 'json')
      t.notOk(
        [...query.keys()].some((key) => /^[A-Z]/.test(key)),
        id,
      )
  }
})

test('what a query is said to name is in the query', async (t) => {
  for (const { id, names, query } of ROUTES) {
    for (const name of Object.keys(names)) {
      if (name.startsWith('?')) t.ok(query.has(name.slice(1).split('.')[0]!), `${id} ${name}`)
    }
  }
})

test('every route is matched by the target that is built from it', async (t) => {
  for (const route of ROUTES) {
    for (const version of ['', 'v1.24', 'v1.51', 'v1.60']) {
      const params = route.param === undefined ? [] : [nameFor(route.param)]
      const query = new Map<string, readonly string[]>()
      for (const [key, type] of route.query) {
        if (type !== 'dropped') query.set(key, VALUE[type])
      }
      const made = { route, version, params, query }
      const found = match(route.method, targetOf(made))
      t.equal(found.route, route, `${route.method} ${route.template}`)
      t.same({ ...found, query: [...found.query] }, { ...made, query: [...query] })
    }
  }
})

test('the engine routes what berth sends it as berth did, and redirects none of it', async () => {
  const words = ENGINE.flatMap(([, pattern]) => pattern.split('/')).filter((s) => !s.includes('{'))
  const segment = fc.constantFrom(...new Set(words), 'a', 'b.c', 'host:5000', 'd:e', '..', '.')
  const segments = fc.array(segment, { minLength: 1, maxLength: 4 }).map((list) => list.join('/'))
  const route = fc.constantFrom(...ROUTES)
  // anything, and a name of any shape between the beginning of one route and the end of another
  const path = fc.oneof(
    segments.map((text) => `/${text}`),
    fc.tuple(route, segments, route).map(([a, text, b]) => `${a.before}${text}${b.after}`),
  )
  const verb = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE')
  fc.assert(
    fc.property(verb, fc.constantFrom('', '/v1.44'), path, (method, version, rest) => {
      const ours = attempt(() => match(method, version + rest))
      if (!ours) return true
      const emitted = targetOf(ours)
      const theirs = routeOfEngine(method, emitted)
      return (
        theirs?.key === keyOf(method, ours.route.template) &&
        String(theirs.params) === String(ours.params) &&
        !/\/\/|\/\.{1,2}(\/|$)|\/$/.test(emitted)
      )
    }),
    { numRuns: 20_000 },
  )
})

const attempt = <T>(action: () => T): T | undefined => {
  try {
    return action()
  } catch {
    return undefined
  }
}
