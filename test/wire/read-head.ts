import fc from 'fast-check'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { Front } from '../../src/wire/front.ts'
import { parseRequestHead } from '../../src/wire/parse-request.ts'
import { HeadReader, MAX_HEAD_BYTES, NEED_MORE } from '../../src/wire/read-head.ts'
import { byteByByte, everySplit, type Feed } from '../support/every-split.ts'

/** The head's text, `'more'`, or the code of the refusal. */
const feed: Feed<string> = (pieces) => {
  const reader = new HeadReader()
  let taken = 0
  try {
    for (const piece of pieces) {
      const end = reader.read(piece, 0, piece.length)
      if (end !== NEED_MORE) return { outcome: reader.text, taken: taken + end }
      taken += piece.length
    }
  } catch (error) {
    if (error instanceof Failure) return { outcome: error.code, taken: undefined }
    throw error
  }
  return { outcome: 'more', taken: undefined }
}

const HEADS = [
  'GET /_ping HTTP/1.1\r\n\r\n',
  'GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n',
  'POST /v1.44/containers/create?name=a HTTP/1.1\r\nHost: d\r\nX: \r\nContent-Length: 2\r\n\r\n',
  `GET /_ping HTTP/1.1\r\nHost: d\r\nX: ${'a'.repeat(9000)}\r\nY: ${'b'.repeat(5000)}\r\n\r\n`,
]

test('a head is cut at its empty line, wherever its bytes were split', async (t) => {
  for (const head of HEADS) t.equal(everySplit(t, head.slice(0, 40), head, feed), head.slice(0, -4))
})

test('a head without its empty line is waited for', async (t) => {
  for (const head of HEADS) t.equal(everySplit(t, 'cut', head.slice(0, -1), feed), 'more')
})

test('a line end that is not CRLF never makes a head', async (t) => {
  const broken = [
    'GET / HTTP/1.1\nHost: d\r\n\n',
    'GET / HTTP/1.1\r\nHost: d\n\nrest',
    'GET / HTTP/1.1\r\n\nrest',
    'GET / HTTP/1.1\r\r\nHost: d\r\n\r',
    'GET / HTTP/1.1\rHost: d\r\n\r',
    'GET / HTTP/1.1\r\nHost: d\r\n\rX',
    '\r\n',
    '\nGET / HTTP/1.1',
    '\r',
  ]
  for (const bytes of broken)
    t.equal(everySplit(t, JSON.stringify(bytes), bytes, feed), 'MALFORMED_REQUEST')
})

test('a head longer than the limit is refused before it ends', async (t) => {
  const line = 'GET / HTTP/1.1\r\nX: '
  const longest = `${line}${'a'.repeat(MAX_HEAD_BYTES - line.length - 4)}\r\n\r\n`
  t.equal(feed([Buffer.from(longest)]).taken, MAX_HEAD_BYTES)
  t.equal(feed(byteByByte(Buffer.from(longest))).taken, MAX_HEAD_BYTES)
  const endless = Buffer.from(line + 'a'.repeat(MAX_HEAD_BYTES))
  t.equal(feed([endless]).outcome, 'HEAD_TOO_LARGE')
  t.equal(feed(byteByByte(endless)).outcome, 'HEAD_TOO_LARGE')
  t.equal(feed([Buffer.from(`${longest.slice(0, -4)}a\r\n\r\n`)]).outcome, 'HEAD_TOO_LARGE')
})

test('a reader reads one head after the other', async (t) => {
  const reader = new HeadReader()
  const bytes = Buffer.from(HEADS.join(''), 'latin1')
  const heads: string[] = []
  for (let at = 0; at < bytes.length; at = reader.read(bytes, at, bytes.length)) {
    if (at > 0) heads.push(`${reader.text}\r\n\r\n`)
    t.notOk(reader.isMidway)
  }
  t.same([...heads, `${reader.text}\r\n\r\n`], HEADS)
})

/** Text that is rich in line ends, so that every pair of them occurs. */
const lineEnds = fc
  .array(fc.constantFrom('\r', '\n', '\r\n', 'a', ': ', '\r\n\r\n', 'GET / HTTP/1.1\r\n'))
  .map((parts) => parts.join(''))

/** The same with what the parser says of a head that has been cut out: that is what a client sees. */
const verdict: Feed<string> = (pieces) => {
  const { outcome, taken } = feed(pieces)
  if (taken === undefined) return { outcome, taken }
  try {
    parseRequestHead(outcome)
    return { outcome, taken }
  } catch (error) {
    if (error instanceof Failure) return { outcome: error.code, taken: undefined }
    throw error
  }
}

test('no segmentation changes what becomes of any bytes', async (t) => {
  fc.assert(
    fc.property(lineEnds, fc.array(fc.nat(64), { maxLength: 8 }), (text, cuts) => {
      const bytes = Buffer.from(text, 'latin1')
      const pieces: Buffer[] = []
      let rest = bytes
      for (const cut of cuts) {
        pieces.push(rest.subarray(0, cut))
        rest = rest.subarray(cut)
      }
      t.same(verdict([...pieces, rest]), verdict([bytes]))
    }),
    { numRuns: 2000 },
  )
})

/** What a reader makes of bytes behind another head, which begins with `first`. */
const readBehind = (length: number, bytes: Buffer, first = '', front?: Front) => {
  const reader = new HeadReader()
  const before = Buffer.from(`${first.padEnd(length - 4, 'a')}\r\n\r\n`)
  reader.read(before, 0, length, front)
  try {
    const end = reader.read(bytes, 0, bytes.length, front)
    if (end === NEED_MORE) return { end, text: '' }
    return { end, text: (reader.hasFront ? first : '') + reader.text }
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}

test('how long the head before was changes nothing', async (t) => {
  fc.assert(
    fc.property(lineEnds, (text) => {
      const bytes = Buffer.from(text, 'latin1')
      const { outcome, taken } = feed([bytes])
      const expected =
        taken === undefined && outcome !== 'more'
          ? outcome
          : { end: taken ?? NEED_MORE, text: taken === undefined ? '' : outcome }
      for (let length = 5; length <= bytes.length; length++)
        t.same(readBehind(length, bytes), expected, JSON.stringify({ text, length }))
    }),
    { numRuns: 300 },
  )
  const again = Buffer.from('GET / HTTP/1.1\r\nHost: d\r\n\r\nPOST / HTTP/1.1\r\n\r\n')
  t.same(readBehind(again.length, again), { end: 27, text: 'GET / HTTP/1.1\r\nHost: d' })
})

test('a front changes where text begins, and nothing else', async (t) => {
  const first = 'GET / HTTP/1.1\r\nHost: d\r\n'
  const front = new Front(MAX_HEAD_BYTES)
  front.set(first)
  fc.assert(
    fc.property(fc.constantFrom(first, ''), lineEnds, (begun, more) => {
      const bytes = Buffer.from(begun + more, 'latin1')
      const expected = readBehind(5, bytes)
      for (let length = first.length + 5; length <= bytes.length; length++)
        t.same(
          readBehind(length, bytes, first, front),
          expected,
          JSON.stringify({ text: begun + more, length }),
        )
    }),
    { numRuns: 500 },
  )
})

/** A connection's heads, each in a read of its own or in two: few different ones, so that they repeat. */
const repeating = fc.array(
  fc.tuple(
    fc.constantFrom(
      'GET /a HTTP/1.1\r\nHost: d\r\n\r\n',
      'GET /b HTTP/1.1\r\nHost: d\r\n\r\n',
      'GET /longer HTTP/1.1\r\nHost: d\r\n\r\n',
      'a\r\n\r\nGET / HTTP/1.1\r\nHo\r\n\r\n',
    ),
    // most come whole: a read that ends in the middle of a head forgets all that was known
    fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(30) }),
  ),
  { maxLength: 30 },
)

test('a head that comes again is the head that came', async (t) => {
  fc.assert(
    fc.property(repeating, (heads) => {
      const reader = new HeadReader()
      for (const [head, cut] of heads) {
        const bytes = Buffer.from(head)
        const first = cut === null ? NEED_MORE : reader.read(bytes, 0, Math.min(cut, bytes.length))
        const from = cut === null || first !== NEED_MORE ? 0 : Math.min(cut, bytes.length)
        const end = first === NEED_MORE ? reader.read(bytes, from, bytes.length) : first
        const expected = head.indexOf('\r\n\r\n')
        t.equal(end, expected + 4, JSON.stringify(heads))
        t.equal(reader.text, head.slice(0, expected), JSON.stringify(heads))
      }
    }),
    { numRuns: 1000 },
  )
})

test('the work is proportional to the bytes, even when they come one by one', async (t) => {
  const cost = (length: number): number => {
    const pieces = byteByByte(Buffer.from(`GET / HTTP/1.1\r\nX: ${'a'.repeat(length)}`))
    const costs = Array.from({ length: 5 }, () => {
      const before = process.cpuUsage()
      feed(pieces)
      const { user, system } = process.cpuUsage(before)
      return user + system
    })
    return Math.min(...costs)
  }
  cost(6000)
  const [short, long] = [cost(6000), cost(60_000)]
  // Ten times the bytes: quadratic work would take a hundred times as long
  t.ok(long < 60 * Math.max(short, 500), `${long} us for 60 kB, ${short} us for 6 kB`)
})
