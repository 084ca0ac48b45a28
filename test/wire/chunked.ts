import fc from 'fast-check'
import { test } from 'tap'
import { ChunkedTracker } from '../../src/wire/chunked.ts'
import { byteByByte, everySplit, type Feed } from '../support/every-split.ts'

/** The decoded body, `'more'` or `'broken'`. */
const feed: Feed<string> = (pieces) => {
  let body = ''
  const tracker = new ChunkedTracker((bytes, from, to) => {
    body += bytes.toString('latin1', from, to)
  })
  let taken = 0
  for (const piece of pieces) {
    taken += tracker.take(piece, 0, piece.length)
    if (tracker.isBroken) return { outcome: 'broken', taken: undefined }
    if (tracker.isDone) return { outcome: body, taken }
  }
  return { outcome: 'more', taken: undefined }
}

const outcomeOf = (bytes: string): string => feed([Buffer.from(bytes, 'latin1')]).outcome

test('a chunked body is followed to its end, and not a byte further', async (t) => {
  const rows = [
    ['0\r\n\r\n', ''],
    ['5\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n', 'hello world'],
    ['0000000000000005\r\nhello\r\n000\r\n\r\n', 'hello'],
    ['a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n', '01234567890123456789'],
    ['4\r\n\r\n\r\n\r\n0\r\n\r\n', '\r\n\r\n'],
    [`1000\r\n${'x'.repeat(4096)}\r\n0\r\n\r\n`, 'x'.repeat(4096)],
  ] as const
  for (const [bytes, body] of rows)
    t.equal(everySplit(t, JSON.stringify(bytes.slice(0, 30)), bytes, feed), body)
})

test('a chunked body that is not complete is waited for', async (t) => {
  for (const bytes of [
    '5',
    '5\r',
    '5\r\nhel',
    '5\r\nhello\r\n',
    '0\r\n',
    '0\r\n\r',
    '7fffffff\r\n',
  ])
    t.equal(everySplit(t, JSON.stringify(bytes), bytes, feed), 'more')
})

test('chunk lines are hexadecimal digits and CRLF, and nothing else', async (t) => {
  const rows = [
    '\r\nhello',
    '5;a=b\r\nhello',
    '5 \r\nhello',
    '5\t\r\nhello',
    ' 5\r\nhello',
    '+5\r\nhello',
    '-0\r\n\r\n',
    '0x5\r\nhello',
    '5_0\r\n',
    '5.\r\nhello',
    '"5"\r\nhello',
    '5h\r\nhello',
    '5\0\r\nhello',
    '5\nhello',
    '5\rhello',
    '5\r\r\nhello',
    '\xb5\r\nhello',
    '5\r\nhello0\r\n\r\n',
    '5\r\nhelloXX0\r\n\r\n',
    '5\r\nhello\n0\r\n\r\n',
    '5\r\nhello\r\r\n0\r\n\r\n',
    '5\r\nhello\r\n\r\n0\r\n\r\n',
    '0;a=b\r\n\r\n',
    '0\n\n',
    '0\r\n\n',
    '0\r\nX-T: v\r\n\r\n',
    '0\r\n X: v\r\n\r\n',
    '0\r\n\rX',
    '00000000000000005\r\nhello',
    '10000000000000005\r\nhello',
    '80000000\r\nhello',
    'FFFFFFFFFFFFFFFF\r\nhello',
    '20000000000001\r\nhello',
  ]
  for (const bytes of rows)
    t.equal(everySplit(t, JSON.stringify(bytes), `5\r\nabcde\r\n${bytes}`, feed), 'broken')
})

test('chunk lines may not outweigh their data for long', async (t) => {
  t.equal(outcomeOf(`${'1\r\nx\r\n'.repeat(100_000)}0\r\n\r\n`), 'x'.repeat(100_000))
  t.equal(outcomeOf(`${'0000000000000001\r\nx\r\n'.repeat(20_000)}0\r\n\r\n`), 'broken')
})

const hex = fc.constantFrom('lower', 'upper')
const chunks = fc.array(
  fc.record({ data: fc.uint8Array({ minLength: 1, maxLength: 40 }), pad: fc.nat(6), hex }),
  { maxLength: 6 },
)

const encode = (parts: readonly { data: Uint8Array; pad: number; hex: string }[]): Buffer =>
  Buffer.concat([
    ...parts.flatMap(({ data, pad, hex }) => {
      const size = data.length.toString(16)
      return [
        Buffer.from(`${'0'.repeat(pad)}${hex === 'upper' ? size.toUpperCase() : size}\r\n`),
        data,
        Buffer.from('\r\n'),
      ]
    }),
    Buffer.from('0\r\n\r\n'),
  ])

test('decoding undoes every chunking, in every segmentation', async (t) => {
  fc.assert(
    fc.property(chunks, fc.array(fc.nat(50), { maxLength: 6 }), (parts, cuts) => {
      const bytes = encode(parts)
      const pieces: Buffer[] = []
      let rest = bytes
      for (const cut of cuts) {
        pieces.push(rest.subarray(0, cut))
        rest = rest.subarray(cut)
      }
      const body = Buffer.concat(parts.map(({ data }) => data)).toString('latin1')
      t.same(feed([...pieces, rest]), { outcome: body, taken: bytes.length })
    }),
    { numRuns: 1000 },
  )
})

/** RFC 9112 7.1, written down a second time and quite differently, without extensions and trailers. */
const decodeSlowly = (text: string): string => {
  const line = /^0*([0-9a-fA-F]{1,8})\r\n/.exec(text.slice(0, 18))
  if (line === null || line[0].length > 18) return 'not decoded'
  const size = Number.parseInt(line[1]!, 16)
  const rest = text.slice(line[0].length)
  if (size === 0) return rest.startsWith('\r\n') ? '' : 'not decoded'
  if (rest.slice(size, size + 2) !== '\r\n') return 'not decoded'
  const next = decodeSlowly(rest.slice(size + 2))
  return next === 'not decoded' ? next : rest.slice(0, size) + next
}

test('one byte changed: the body is still what a second decoder makes of it, or refused, or not over', async (t) => {
  fc.assert(
    fc.property(chunks, fc.nat(), fc.nat(255), (parts, place, byte) => {
      const bytes = encode(parts)
      bytes[place % bytes.length] = byte
      const { outcome } = feed([bytes])
      if (outcome === 'broken' || outcome === 'more')
        t.equal(decodeSlowly(bytes.toString('latin1')), 'not decoded')
      else t.equal(outcome, decodeSlowly(bytes.toString('latin1')))
    }),
    { numRuns: 3000 },
  )
})

test('bytes one by one cost what they cost together', async (t) => {
  const bytes = encode([{ data: Buffer.alloc(100_000), pad: 0, hex: 'lower' }])
  t.equal(feed(byteByByte(bytes)).taken, bytes.length)
})
