/** Heads read with a memory are the heads that they would be without one, whatever came before them on the connection. */
import fc from 'fast-check'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { HeadMemory, LONGEST_REMEMBERED } from '../../src/wire/head-memory.ts'
import { MAX_FIELDS } from '../../src/wire/parse-fields.ts'
import { parseRequestHead } from '../../src/wire/parse-request.ts'

const outcome = (read: () => unknown): unknown => {
  try {
    return read()
  } catch (error) {
    if (error instanceof Failure) return `${error.code}: ${error.message}`
    throw error
  }
}

const line = fc.constantFrom(
  'Host: d',
  'Host: d ',
  'host: d',
  'Host: dd',
  'Host:',
  'Host: ',
  'User-Agent: Docker-Client/28.5.2 (linux)',
  'User-Agent: Docker-Client/28.5.2 (linux)x',
  'Traceparent: 00-5af2b4c81b1f4c6d8f0a3d2e00000001-1f2e3d4c5b6a7988-01',
  'Traceparent: 00-5af2b4c81b1f4c6d8f0a3d2e00000002-1f2e3d4c5b6a7988-01',
  'X-Unknown: 1',
  'Cookie: c',
  'Content-Length: 0',
  'Connection: close',
  'Expect: 100-continue',
  'Content_Length: 5',
  'Broken',
  ': ',
  `X-Registry-Auth: ${'a'.repeat(LONGEST_REMEMBERED)}`,
)
/** What comes again and again, and now and then something else around it. */
const beginnings = fc.constantFrom(
  ['Host: d'],
  ['Host: d', 'User-Agent: Docker-Client/28.5.2 (linux)'],
  ['X-Unknown: 1', 'Host: d', 'Traceparent: 00-a'],
  [],
)
const head = fc
  .tuple(
    fc.constantFrom('GET /v1.51/containers/json', 'GET /_ping', 'POST /x', 'GET /é', 'GET x'),
    beginnings,
    fc.array(line, { maxLength: 3 }),
    fc.constantFrom('1.1', '1.1', '1.0'),
  )
  .map(([asked, beginning, lines, version]) =>
    [`${asked} HTTP/${version}`, ...beginning, ...lines].join('\r\n'),
  )

test('what came before changes nothing', async (t) => {
  fc.assert(
    fc.property(fc.array(head, { maxLength: 24 }), (heads) => {
      const memory = new HeadMemory()
      const read: { readonly head: unknown; readonly text: string }[] = []
      for (const text of heads) {
        const head = outcome(() => parseRequestHead(text, memory))
        t.same(
          head,
          outcome(() => parseRequestHead(text)),
          JSON.stringify(heads),
        )
        read.push({ head, text })
      }
      for (const { head, text } of read)
        t.same(
          head,
          outcome(() => parseRequestHead(text)),
          'and a head stays as it was',
        )
    }),
    { numRuns: 400 },
  )
})

test('a field that comes again is the same field', async (t) => {
  const memory = new HeadMemory()
  const read = (trace: number, target = '/_ping') =>
    parseRequestHead(
      `GET ${target} HTTP/1.1\r\nHost: d\r\nX-A: b\r\nUser-Agent: c\r\nTraceparent: ${trace}`,
      memory,
    )
  read(1)
  read(2)
  const [third, fourth] = [read(3), read(4, '/info')]
  t.equal(fourth.fields[0], third.fields[0])
  t.equal(fourth.fields[1], third.fields[1])
  t.same(
    [third, fourth].map(({ target, fields }) => [target, fields.map(({ value }) => value)]),
    [
      ['/_ping', ['d', 'c', '3']],
      ['/info', ['d', 'c', '4']],
    ],
  )
})

test('what is nearly the same is read', async (t) => {
  const known = 'Host: d\r\nUser-Agent: c'
  const asked = 'GET / HTTP/1.1\r\n'
  for (const more of ['', '\r\nTraceparent: t'])
    for (let at = 0; at <= known.length; at++)
      for (const inserted of ['', 'x', ' ', '\r', '\n', '\r\n', ':'])
        for (const removed of [0, 1, 2]) {
          const memory = new HeadMemory()
          for (const trace of [1, 2])
            parseRequestHead(`${asked}${known}\r\nTraceparent: ${trace}`, memory)
          const text = `${asked}${known.slice(0, at)}${inserted}${known.slice(at + removed)}${more}`
          t.same(
            outcome(() => parseRequestHead(text, memory)),
            outcome(() => parseRequestHead(text)),
            JSON.stringify(text),
          )
        }
})

test('lines that are not read again are counted', async (t) => {
  const memory = new HeadMemory()
  const text = (lines: number) =>
    ['GET / HTTP/1.1', 'Host: d', ...Array<string>(lines - 1).fill('a: b')].join('\r\n')
  for (let n = 0; n < 3; n++) t.doesNotThrow(() => parseRequestHead(text(MAX_FIELDS), memory))
  t.throws(() => parseRequestHead(text(MAX_FIELDS + 1), memory), { code: 'HEAD_TOO_LARGE' })
})

test('a client that says something else each time is not listened to for ever', async (t) => {
  const memory = new HeadMemory()
  const read = (agent: string) =>
    parseRequestHead(`GET / HTTP/1.1\r\nUser-Agent: ${agent}\r\nHost: d`, memory)
  for (let n = 0; n < 20; n++) read(`${n}`)
  read('same')
  const [one, other] = [read('same'), read('same')]
  t.not(one.fields[0], other.fields[0])
  t.same(one, other)
})
