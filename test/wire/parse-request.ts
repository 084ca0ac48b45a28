import fc from 'fast-check'
import { type Test, test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { REQUEST_FIELDS } from '../../src/wire/fields.ts'
import { fieldValue, type RequestHead } from '../../src/wire/head.ts'
import { MAX_FIELD_BYTES, MAX_FIELDS } from '../../src/wire/parse-fields.ts'
import { parseRequestHead } from '../../src/wire/parse-request.ts'
import { HeadReader, NEED_MORE } from '../../src/wire/read-head.ts'
import { everySplit, type Feed } from '../support/every-split.ts'

/** The head, or the code of the refusal. */
const feed: Feed<RequestHead | string> = (pieces) => {
  const reader = new HeadReader()
  let before = 0
  try {
    for (const piece of pieces) {
      const end = reader.read(piece, 0, piece.length)
      if (end !== NEED_MORE) return { outcome: parseRequestHead(reader.text), taken: before + end }
      before += piece.length
    }
  } catch (error) {
    if (error instanceof Failure) return { outcome: error.code, taken: undefined }
    throw error
  }
  return { outcome: 'more', taken: undefined }
}

const accepted = (t: Test, head: string): RequestHead => {
  const outcome = everySplit(t, JSON.stringify(head.slice(0, 60)), head, feed)
  if (typeof outcome === 'string') throw new Error(`${outcome}: ${head}`)
  return outcome
}

const codeOf = (text: string): string => {
  const { outcome } = feed([Buffer.from(text, 'latin1')])
  return typeof outcome === 'string' ? outcome : 'accepted'
}

/** Refusals that say something else than MALFORMED_REQUEST stand beside the head. */
type Row = readonly [head: string, code?: string]

const refused = (t: Test, rows: readonly Row[]): void => {
  for (const [head, code = 'MALFORMED_REQUEST'] of rows) {
    // A bare line end is refused as soon as it comes, which may be before another reason to refuse
    const outcome = codeOf(head)
    t.equal(outcome, code, JSON.stringify(head.slice(0, 80)))
  }
}

const get = (...fields: string[]): string =>
  `GET /_ping HTTP/1.1\r\n${['Host: d', ...fields].map((field) => `${field}\r\n`).join('')}\r\n`
const post = (...fields: string[]): string =>
  `POST /build HTTP/1.1\r\n${['Host: d', ...fields].map((field) => `${field}\r\n`).join('')}\r\n`

test('the heads that docker clients send are read', async (t) => {
  const head = accepted(
    t,
    'POST /v1.51/containers/create?name=a HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/28.5.2 (linux)\r\nContent-Length: 1577\r\nContent-Type: application/json\r\n\r\n',
  )
  t.match(head, {
    method: 'POST',
    target: '/v1.51/containers/create?name=a',
    minor: 1,
    framing: { kind: 'length', length: 1577 },
    keepAlive: true,
    upgrade: undefined,
    expectsContinue: false,
  })
  t.equal(fieldValue(head, 'user-agent'), 'Docker-Client/28.5.2 (linux)')
  const session = accepted(
    t,
    'POST /session HTTP/1.1\r\nHost: \r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Grpc-Method: /a\r\nX-Docker-Expose-Session-Grpc-Method: /b\r\n\r\n',
  )
  t.equal(session.upgrade, 'h2c')
  t.equal(fieldValue(session, 'host'), '')
  t.same(
    session.fields.filter(({ class: group }) => group === 'session').map(({ value }) => value),
    ['/a', '/b'],
  )
})

test('the framing of a request is decided once, from one canonical field or none', async (t) => {
  t.same(accepted(t, get()).framing, { kind: 'none' })
  t.same(accepted(t, get('Content-Length: 0')).framing, { kind: 'none' })
  t.same(accepted(t, post('Content-Length:5')).framing, { kind: 'length', length: 5 })
  t.same(accepted(t, post('Content-Length: 999999999999999')).framing.kind, 'length')
  t.same(accepted(t, post('transfer-encoding: \t ChUnKeD \t')).framing, { kind: 'chunked' })
  refused(t, [
    ...[
      '05',
      '+5',
      '-0',
      '0x5',
      '0b1',
      '5.0',
      '5e0',
      '1_0',
      '5,',
      '5,5',
      '5 5',
      '',
      'Infinity',
      '1'.repeat(16),
      '9223372036854775808',
      '\x0b5',
      '5\x0c',
      '\xa05',
      '5\x85',
    ].map((value): Row => [post(`Content-Length: ${value}`)]),
    [post('Content-Length: 5', 'Content-Length: 5')],
    [post('Content-Length: 5', 'content-length: 6')],
    [post('Content-Length: 5', 'Transfer-Encoding: chunked')],
    [post('Transfer-Encoding: chunked', 'Content-Length: 5')],
    [post('Transfer-Encoding: gzip', 'Content-Length: 5')],
    [post('Content_Length: 5')],
    [post('transfer_encoding: chunked')],
    [post('Transfer-Encoding : chunked')],
    [post('Content-Length\t: 5')],
    [post(' Content-Length: 5')],
    [post('X: y\r\n Transfer-Encoding: chunked')],
    [post('Trailer: Content-Length')],
    ...['chunked, chunked', 'gzip, chunked', 'chunked,', ',chunked', '"chunked"', 'identity', '']
      .concat(['xchunked', 'chunkedx', 'chun ked', 'chunked;q=1', 'chunked\tchunked'])
      .map((value): Row => [post(`Transfer-Encoding: ${value}`), 'UNKNOWN_TRANSFER_CODING']),
    [post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'), 'UNKNOWN_TRANSFER_CODING'],
    [post('Transfer-Encoding: identity', 'transfer-encoding: chunked'), 'UNKNOWN_TRANSFER_CODING'],
    [post('Transfer-Encoding: chun\u212aed'.replace('\u212a', '\xe2\x84\xaa'))],
    ['POST /build HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ...['GET', 'HEAD', 'DELETE', 'OPTIONS'].flatMap((method): Row[] => [
      [`${method} /x HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\n\r\n`, 'BODY_NOT_ALLOWED'],
      [
        `${method} /x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n`,
        'BODY_NOT_ALLOWED',
      ],
    ]),
  ])
})

test('a request line has one spelling', async (t) => {
  accepted(t, get())
  refused(
    t,
    [
      'GET  /_ping HTTP/1.1',
      'GET /_ping  HTTP/1.1',
      'GET /_ping HTTP/1.1 ',
      ' GET /_ping HTTP/1.1',
      'GET\t/_ping HTTP/1.1',
      'GET /_ping\tHTTP/1.1',
      'GET /a /b HTTP/1.1',
      'GET /_ping',
      'GET /_ping http/1.1',
      'GET /_ping HTTP/1.2',
      'GET /_ping HTTP/2.0',
      'GET /_ping HTTP/1.10',
      'GET /_ping HTTP/01.1',
      'GET /_ping XHTTP/1.1',
      'GET  HTTP/1.1',
      'GET http://d/_ping HTTP/1.1',
      'GET d:80 HTTP/1.1',
      'OPTIONS * HTTP/1.1',
      'CONNECT d:80 HTTP/1.1',
      'CONNECT /_ping HTTP/1.1',
      'get /_ping HTTP/1.1',
      'TRACE /_ping HTTP/1.1',
      'PATCH /_ping HTTP/1.1',
      'PRI /_ping HTTP/1.1',
      'GET: /_ping HTTP/1.1',
      'GE\0T /_ping HTTP/1.1',
      ...[...'"#<>\\^`{|}\x7f\x80\xff\0\x01\v\f'].map((char) => `GET /a${char}b HTTP/1.1`),
    ].map((line): Row => [`${line}\r\nHost: d\r\n\r\n`]),
  )
})

test('a field line has one spelling, whether its field is known or not', async (t) => {
  accepted(t, get('X-Unknown: \t a b \x7e \t', 'Y:', 'Z:z'))
  refused(
    t,
    [
      ': x',
      ':',
      'abc',
      ' X: y',
      'X : y',
      'X\t: y',
      'X: a\r\n b',
      'X: a\r\n\tb',
      'X: a\rb',
      'X: a\nb',
      'X: a\0b',
      'X: a\x7fb',
      'X: \x80',
      'X: \xff',
      'X\x85Y: z',
      'X\0Y: z',
      ...[...'"(),/;<=>?@[\\]{}'].map((char) => `X${char}Y: z`),
    ].map((field): Row => [get(field)]),
  )
})

test('there is exactly one Host, and it is one', async (t) => {
  for (const host of ['', 'd', 'D.example', 'd:2375', '127.0.0.1:80', '[::1]', '[::1]:80', 'a~b_c'])
    t.equal(accepted(t, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`).method, 'GET')
  t.equal(codeOf('GET / HTTP/1.1\r\nHost: %2Fvar%2Frun%2Fdocker.sock\r\n\r\n'), 'accepted')
  t.equal(codeOf('GET / HTTP/1.0\r\n\r\n'), 'accepted', 'HTTP/1.0 needs none')
  refused(t, [
    ['GET / HTTP/1.1\r\n\r\n'],
    ['GET / HTTP/1.0\r\nHost: d\r\nHost: d\r\n\r\n'],
    [get('Host: d')],
    [get('hOST: e')],
    ...[
      'a b',
      'a,b',
      'u@d',
      'd:80a',
      'd:123456',
      'http://d',
      'd/',
      '[::1',
      '::1',
      '%2',
      '%zz',
      'd?',
    ].map((host): Row => [`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`]),
  ])
})

test('a field that is known stands once, but the one that buildx repeats', async (t) => {
  for (const [name, row] of Object.entries(REQUEST_FIELDS)) {
    if (name === 'host' || name === 'expect' || name === 'trailer') continue
    const value = name === 'connection' ? 'close' : '0'
    const repeats = 'repeats' in row
    const code = codeOf(post(`${name}: ${value}`, `${name.toUpperCase()}: ${value}`))
    if (repeats) t.equal(code, 'accepted', name)
    else t.not(code, 'accepted', name)
  }
  t.equal(codeOf(get('X-Other: 1', 'X-Other: 2')), 'accepted', 'unknown fields are dropped anyway')
})

test('Connection names only what means nothing here or is obeyed', async (t) => {
  t.equal(accepted(t, get('Connection: close')).keepAlive, false)
  t.equal(accepted(t, get('Connection: keep-alive, CLOSE')).keepAlive, false)
  t.equal(accepted(t, get('Connection: , keep-alive ,')).keepAlive, true)
  t.equal(accepted(t, get('Connection: uPgRaDe', 'Upgrade: TCP')).upgrade, 'TCP')
  t.equal(accepted(t, get('Upgrade: tcp')).upgrade, undefined, 'Upgrade alone asks for nothing')
  const old = 'GET / HTTP/1.0\r\nConnection: keep-alive, upgrade\r\nUpgrade: h2c\r\n\r\n'
  t.match(accepted(t, old), { keepAlive: false, upgrade: undefined, minor: 0 })
  refused(
    t,
    [
      'Transfer-Encoding',
      'Content-Length',
      'close, X-Registry-Auth',
      'Host',
      'X-Forwarded-For',
      'closed',
      'close;q=1',
      '"close"',
      'keep alive',
    ].map((value): Row => [post(`Connection: ${value}`)]),
  )
})

test('the one expectation is 100-continue, of a request with a body', async (t) => {
  t.equal(accepted(t, post('Expect: 100-Continue', 'Content-Length: 5')).expectsContinue, true)
  t.equal(accepted(t, post('Expect: 100-continue')).expectsContinue, false)
  t.equal(accepted(t, get('Expect: 100-continue')).expectsContinue, false)
  refused(t, [
    ...['', '200-ok', '100-continue, 100-continue', 'y 100-continue', '100-continue;a=b'].map(
      (value): Row => [post(`Expect: ${value}`, 'Content-Length: 5'), 'EXPECTATION_FAILED'],
    ),
    [post('Expect: 100-continue', 'Expect: 100-continue', 'Content-Length: 5')],
    [
      'POST /build HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
      'EXPECTATION_FAILED',
    ],
  ])
})

test('heads have limits in fields and in bytes of one field', async (t) => {
  const many = Array.from({ length: MAX_FIELDS - 1 }, (_, i) => `X-${i}: y`)
  t.equal(codeOf(get(...many)), 'accepted')
  t.equal(codeOf(get(...many, 'one: more')), 'HEAD_TOO_LARGE')
  const long = 'a'.repeat(MAX_FIELD_BYTES - 2)
  t.equal(codeOf(get(`X: ${long}`)), 'accepted')
  t.equal(codeOf(get(`X: ${long}aa`)), 'HEAD_TOO_LARGE')
})

test('names of JavaScript objects are names like others', async (t) => {
  const head = accepted(
    t,
    get('__proto__: x', 'constructor: y', 'toString: z', 'hasOwnProperty: 1'),
  )
  t.same(
    head.fields.map(({ name }) => name),
    ['host'],
  )
})

/** Field lines around the framing and the connection, as attackers vary them. */
const names = fc.constantFrom(
  ...[
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'Expect',
    'Upgrade',
    'Host',
    'X',
    'Content_Length',
  ],
)
const values = fc.oneof(
  fc.constantFrom(
    '5',
    '0',
    '05',
    'chunked',
    'Chunked',
    'close',
    'upgrade',
    '100-continue',
    'tcp',
    '',
  ),
  fc.string({ unit: 'binary-ascii', maxLength: 6 }),
)
const colon = fc.constantFrom(': ', ':', ' : ', ':\t', ':\r\n ')
const fieldLines = fc
  .array(fc.tuple(names, colon, values), { maxLength: 5 })
  .map((fields) => fields.map((parts) => parts.join('')))
const methods = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD')

test('an accepted head has no body, one canonical length, or is chunked and nothing else', async (t) => {
  let count = 0
  fc.assert(
    fc.property(methods, fieldLines, fc.constantFrom('1.0', '1.1'), (method, lines, version) => {
      const head = `${method} /x HTTP/${version}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`
      const { outcome } = feed([Buffer.from(head, 'latin1')])
      if (typeof outcome === 'string') return
      count++
      const wire = outcome.fields.map(({ name }) => name)
      const lengths = wire.filter((name) => name === 'content-length').length
      const codings = wire.filter((name) => name === 'transfer-encoding').length
      t.ok(lengths + codings <= 1)
      if (outcome.framing.kind === 'length') {
        t.equal(String(outcome.framing.length), fieldValue(outcome, 'content-length'))
        t.ok(Number.isSafeInteger(outcome.framing.length))
      }
      t.equal(outcome.framing.kind === 'chunked', codings === 1)
      t.ok(outcome.minor === 1 || codings === 0)
    }),
    { numRuns: 5000 },
  )
  t.ok(count > 100, `${count} of the heads were accepted`)
})

test('fields of no row change nothing, however they are named, ordered and repeated', async (t) => {
  const token = fc.string({
    unit: fc.constantFrom(..."abcXYZ019-!#$%&'*+.^_`|~"),
    minLength: 1,
    maxLength: 12,
  })
  const unknown = fc
    .tuple(token, fc.string({ unit: fc.constantFrom(...'ab ,;=:%"0\t'), maxLength: 12 }))
    .filter(([name]) => !(name.toLowerCase().replaceAll('_', '-') in REQUEST_FIELDS))
    .map(([name, value]) => `${name}: ${value}`)
  const known = ['Content-Length: 3', 'user-AGENT: x', 'Connection: close']
  const plain = feed([Buffer.from(post(...known))]).outcome
  fc.assert(
    fc.property(fc.array(unknown, { maxLength: 6 }), fc.nat(3), (lines, at) => {
      const mixed = post(...known.slice(0, at), ...lines, ...known.slice(at))
      t.same(feed([Buffer.from(mixed)]).outcome, plain)
    }),
    { numRuns: 500 },
  )
})

test('names are compared as ASCII: no other letter folds onto one of theirs', async (t) => {
  for (const name of ['Ho\u017ft', '\u212aeep-Alive', 'Content-Len\u01e6th'])
    t.equal(codeOf(get(`${Buffer.from(name).toString('latin1')}: 5`)), 'MALFORMED_REQUEST')
  // the bit that tells capital letters from small ones, where there is no letter
  for (const name of ['User\x0dAgent', 'Http\x12-Settings', 'TE\x1a'])
    t.equal(codeOf(get(`${name}: 5`)), 'MALFORMED_REQUEST')
})
