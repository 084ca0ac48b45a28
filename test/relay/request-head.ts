import fc from 'fast-check'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import type { Errand } from '../../src/relay/errand.ts'
import { refuseUndecodable, upgradeFor, writeRequestHead } from '../../src/relay/request-head.ts'
import { Draft } from '../../src/transport/draft.ts'
import { REQUEST_FIELDS, type RequestFieldClass } from '../../src/wire/fields.ts'
import { type Framing, NO_BODY, type RequestHead } from '../../src/wire/head.ts'
import { parseRequestHead } from '../../src/wire/parse-request.ts'

const errand = (changes: Partial<Errand> = {}): Errand => ({
  method: 'GET',
  target: '/v1.44/info',
  contentType: undefined,
  fieldClasses: new Set<RequestFieldClass>(),
  hijack: 'none',
  plan: { kind: 'none' },
  amend: undefined,
  watch: undefined,
  ...changes,
})

const draft = new Draft()
const written = (
  errand: Errand,
  head: RequestHead,
  framing: Framing = NO_BODY,
  upgrade?: string,
): string => {
  writeRequestHead(draft, errand, head, framing, upgrade, 'berth')
  return draft.text
}

const codeOf = (action: () => unknown): string => {
  try {
    action()
    return 'none'
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}

test('the head that leaves is a new one', async (t) => {
  const head = parseRequestHead(
    'GET /v1.44/info?x HTTP/1.1\r\nhost: evil\r\nuser-agent:  a b \r\nCookie: c\r\nX-Registry-Auth: e30=\r\nExpect: 100-continue\r\nConnection: close',
  )
  t.equal(
    written(errand(), head),
    'GET /v1.44/info HTTP/1.1\r\nHost: berth\r\nUser-Agent: a b\r\n\r\n',
  )
  const registry = errand({ fieldClasses: new Set(['registry']), method: 'POST' })
  t.match(written(registry, head), /^X-Registry-Auth: e30=\r$/m)
  t.match(written(registry, head), /^Content-Length: 0\r$/m)
})

test('credentials that an engine could not decode are refused', async (t) => {
  const registry = errand({ fieldClasses: new Set(['registry']) })
  const write = (value: string) => () =>
    refuseUndecodable(
      parseRequestHead(`GET / HTTP/1.1\r\nHost:\r\nX-Registry-Auth: ${value}`),
      registry,
    )
  for (const value of ['', 'e30=', 'eyJhIjoiYiJ9', '_-_-', 'YQ=='])
    t.equal(codeOf(write(value)), 'none', value)
  for (const value of ['e30', 'e30==', 'e3+=', 'e3/=', '{}', 'a b=', '=', 'YQ=', 'e30=e30='])
    t.equal(codeOf(write(value)), 'HEADER_NOT_ACCEPTED', value)
})

test('a route is asked for its own upgrade or none', async (t) => {
  const head = (upgrade: string | undefined, version = '1.1') =>
    parseRequestHead(
      `POST / HTTP/${version}\r\nHost:${upgrade === undefined ? '' : `\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}`}`,
    )
  t.equal(upgradeFor('none', head('tcp')), undefined)
  t.equal(
    upgradeFor('tcp', head(undefined)),
    'tcp',
    'a raw stream is always asked for as an upgrade',
  )
  t.equal(upgradeFor('tcp', head('TCP')), 'tcp')
  t.equal(upgradeFor('h2c', head('h2c')), 'h2c')
  t.equal(upgradeFor('websocket', head('WebSocket')), 'websocket')
  for (const [hijack, upgrade] of [
    ['tcp', ''],
    ['tcp', 'h2c'],
    ['tcp', 'tcp, h2c'],
    ['h2c', 'H2C'],
    ['h2c', undefined],
    ['h2c', 'websocket, h2c'],
    ['websocket', undefined],
    ['websocket', 'tcp'],
  ] as const)
    t.equal(
      codeOf(() => upgradeFor(hijack, head(upgrade))),
      'UPGRADE_NOT_ACCEPTED',
    )
  t.equal(
    codeOf(() => upgradeFor('tcp', head('tcp', '1.0'))),
    'UPGRADE_NOT_ACCEPTED',
  )
})

const names = Object.keys(REQUEST_FIELDS).filter(
  (name) =>
    !['host', 'content-length', 'transfer-encoding', 'expect', 'connection', 'trailer'].includes(
      name,
    ),
)
const value = fc.string({ unit: fc.constantFrom(...'abz09 \t/=;,:"%'), maxLength: 16 })
const fields = fc.uniqueArray(
  fc.tuple(
    fc.oneof(fc.constantFrom(...names), fc.constantFrom('cookie', 'x-a', 'forwarded')),
    value,
  ),
  { selector: ([name]) => name },
)
const framings = fc.constantFrom<Framing>(
  { kind: 'none' },
  { kind: 'length', length: 7 },
  { kind: 'chunked' },
)
const classes = fc.subarray<RequestFieldClass>(['registry', 'session', 'websocket', 'transfer'])

test('whatever came in, what leaves is canonical, listed, and reads as itself', async (t) => {
  fc.assert(
    fc.property(fields, framings, classes, fc.boolean(), (lines, framing, classes, upgrades) => {
      const decodable = lines.filter(
        ([name, text]) => !name.startsWith('x-registry') || text.trim() === '',
      )
      const head = parseRequestHead(
        [
          'POST /x HTTP/1.1',
          'Host: d',
          ...decodable.map(([name, text]) => `${name}: ${text}`),
        ].join('\r\n'),
      )
      const order = errand({ method: 'POST', fieldClasses: new Set(classes) })
      const text = written(order, head, framing, upgrades ? 'tcp' : undefined)
      t.match(
        text,
        /^POST \/v1\.44\/info HTTP\/1\.1\r\n(?:[A-Z][A-Za-z0-9-]*: [\t\x20-\x7e]*\r\n)*\r\n$/,
      )
      const again = parseRequestHead(text.slice(0, -4))
      const kept = again.fields.map(({ name }) => name)
      t.equal(new Set(kept).size, kept.length, 'nothing is said twice')
      for (const field of again.fields) {
        if (field.class === 'wire') continue
        t.ok(field.class === 'any' || classes.includes(field.class), field.name)
        t.equal(field.value, head.fields.find(({ name }) => name === field.name)?.value)
      }
      t.same(again.framing, framing)
      t.equal(written(order, again, again.framing, upgrades ? 'tcp' : undefined), text)
    }),
    { numRuns: 500 },
  )
})
