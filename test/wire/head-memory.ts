/** Heads read with a memory are the heads that they would be without one, whatever came before them on the connection. */
import fc from 'fast-check'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { HeadMemory, LONGEST_REMEMBERED } from '../../src/wire/head-memory.ts'
import { MAX_FIELDS } from '../../src/wire/parse-fields.ts'
import { parseFound, parseRequestHead } from '../../src/wire/parse-request.ts'
import { HeadReader } from '../../src/wire/read-head.ts'

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

/** A client asks the same several times over, but for one line; then something else. */
const asking = fc
  .tuple(head, fc.array(line, { maxLength: 5 }))
  .map(([text, lines]) => [text, ...lines.map((line) => `${text}\r\n${line}`)])
const heads = fc.array(asking, { maxLength: 8 }).map((askings) => askings.flat())

/** Reads heads one after the other as a connection does. */
const connection = () => {
  const reader = new HeadReader()
  const memory = new HeadMemory()
  return {
    /** @param cut how many of its bytes come first, and the others in a read of their own */
    read: (text: string, cut = 0) => {
      const bytes = Buffer.from(`${text}\r\n\r\n`, 'latin1')
      if (cut > 0) reader.read(bytes, 0, cut, memory.front)
      reader.read(bytes, cut, bytes.length, memory.front)
      return parseFound(reader, memory)
    },
    /** Whether a part of the last head did not become text. */
    get knewFront() {
      return reader.hasFront
    },
  }
}

test('what came before changes nothing', async (t) => {
  let known = 0
  fc.assert(
    fc.property(heads, (heads) => {
      const before = connection()
      const read: { readonly head: unknown; readonly text: string }[] = []
      for (const text of heads) {
        const head = outcome(() => before.read(text))
        if (before.knewFront) known++
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
  t.ok(known > 0, 'some of them began as known')
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

const TRACE = 'Traceparent: 00-5af2b4c81b1f4c6d8f0a3d2e1c0b9a87-1f2e3d4c5b6a7988-0'

test('what is nearly what heads begin with is read', async (t) => {
  const front = 'GET /_ping HTTP/1.1\r\nHost: d\r\nUser-Agent: c\r\n'
  const whole = (n: number) => `${front}${TRACE}${n}`
  let known = 0
  for (let at = 0; at <= front.length; at++)
    for (const [removed, inserted] of [
      [0, ''],
      [1, 'x'],
      [1, '\r'],
      [1, '\n'],
      [2, '\r\n'],
      [4, '\r\n\r\n'],
    ] as const) {
      const before = connection()
      for (const n of [1, 2, 3, 4]) before.read(whole(n))
      t.ok(before.knewFront)
      const text = whole(5)
      // as long as those before it: that is where a reader looks first
      const other = text.slice(0, at) + inserted + text.slice(at + removed)
      t.same(
        outcome(() => before.read(other)),
        outcome(() => connection().read(other)),
        JSON.stringify(other),
      )
      if (before.knewFront) known++
    }
  t.ok(known > front.length, 'where nothing was changed, it was known')
})

test('another request line makes another front', async (t) => {
  const before = connection()
  const asked = (line: string) => `${line}\r\nHost: d\r\n${TRACE}${1}`
  for (const line of ['GET /a HTTP/1.1', 'GET /b HTTP/1.1', 'PUT /b HTTP/1.1', 'PUT /b HTTP/1.0'])
    for (let n = 0; n < 6; n++) {
      const { method, target, minor } = before.read(`${asked(line)}${n}`)
      t.equal(`${method} ${target} HTTP/1.${minor}`, line)
      // the first two of all teach it the lines; of each line, two in a row are a front
      t.equal(before.knewFront, n >= (line === 'GET /a HTTP/1.1' ? 3 : 2), `${line} ${n}`)
    }
})

test('other lines make another front', async (t) => {
  const asked = 'GET / HTTP/1.1\r\nHost: d'
  const usual = `${asked}\r\nUser-Agent: c\r\nAccept: b\r\n${TRACE}`
  const other = `${asked}\r\nUser-Agent: c\r\nBaggage: e\r\n${TRACE}`
  const before = connection()
  for (let n = 0; n < 40; n++) {
    const text = `${n % 10 < 6 ? usual : other}${n % 10}`
    t.same(before.read(text), parseRequestHead(text), `${n}: ${text}`)
  }
  t.ok(before.knewFront)
})

test('a head that comes in two reads is read whole', async (t) => {
  const text = (n: number) => `GET / HTTP/1.1\r\nHost: d\r\nUser-Agent: c\r\n${TRACE}${n}`
  for (let cut = 1; cut < text(0).length + 4; cut++) {
    const before = connection()
    for (let n = 0; n < 4; n++) before.read(text(n))
    t.ok(before.knewFront)
    t.same(before.read(text(5), cut), parseRequestHead(text(5)), `cut at ${cut}`)
    t.same(before.read(text(6)), parseRequestHead(text(6)), 'and the one behind it')
  }
})

test('of a long head nothing is kept', async (t) => {
  const before = connection()
  const auth = `X-Registry-Auth: ${'a'.repeat(LONGEST_REMEMBERED)}`
  for (let n = 0; n < 4; n++) before.read(`GET / HTTP/1.1\r\nHost: d\r\n${TRACE}${n}`)
  t.ok(before.knewFront)
  for (let n = 0; n < 3; n++) before.read(`GET / HTTP/1.1\r\nHost: d\r\n${auth}${n}`)
  t.notOk(before.knewFront)
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
