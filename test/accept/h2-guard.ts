/** The limits of an HTTP/2 connection, by the frame: what breaks them, what does not, and that nothing behind is read. */
import fc from 'fast-check'
import { test } from 'tap'
import { FrameScanner, wholeFrames } from '../../src/accept/h2-frames.ts'
import { H2_LIMITS, H2Guard } from '../../src/accept/h2-guard.ts'
import { END_HEADERS, END_STREAM, frame, TYPE } from '../support/h2-client.ts'

const many = (count: number, bytes: Buffer): Buffer => Buffer.concat(Array(count).fill(bytes))
const reset = frame(TYPE.RST_STREAM, 0, 1, '\0\0\0\x08')
const data = frame(TYPE.DATA, 0, 1, 'x')

test('frames are found however they are cut', async (t) => {
  const any = fc.record({
    type: fc.nat(12),
    flags: fc.nat(255),
    payload: fc.string({ maxLength: 30, unit: 'binary-ascii' }),
  })
  fc.assert(
    fc.property(fc.array(any, { maxLength: 20 }), fc.integer({ min: 1, max: 40 }), (list, size) => {
      const bytes = Buffer.concat(
        list.map(({ type, flags, payload }) => frame(type, flags, 1, payload)),
      )
      const seen: string[] = []
      const scanner = new FrameScanner(({ type, flags, length }) => {
        seen.push(`${type} ${flags} ${length}`)
        return true
      })
      for (let at = 0; at < bytes.length; at += size) scanner.take(bytes.subarray(at, at + size))
      const wanted = list.map(({ type, flags, payload }) => `${type} ${flags} ${payload.length}`)
      t.strictSame(seen, wanted)
      const whole = [...wholeFrames(bytes, 0)]
      t.strictSame(
        whole.map(({ type, flags, length }) => `${type} ${flags} ${length}`),
        wanted,
      )
    }),
    { numRuns: 50 },
  )
})

test('resets beyond the burst end a connection', async (t) => {
  const guard = new H2Guard()
  const flood = many(1000, reset)
  guard.received(many(H2_LIMITS.resets.burst, reset), 1)
  t.equal(guard.abuse, undefined)
  guard.received(flood, 1)
  t.match(guard.abuse, { reason: 'rapid reset' })
})

test('resets at the rate of a busy client never do', async (t) => {
  const guard = new H2Guard()
  for (let i = 0; i < 1000; i++) guard.received(reset, 1 + i * (1000 / H2_LIMITS.resets.perSecond))
  t.equal(guard.abuse, undefined)
})

test('resets that a client provokes count as its own', async (t) => {
  const guard = new H2Guard()
  guard.sent(many(101, frame(TYPE.RST_STREAM, 0, 1, '\0\0\0\x01')), 1)
  t.match(guard.abuse, { reason: 'one stream after the other that has to be reset' })
  const bombed = new H2Guard()
  bombed.sent(many(5, frame(TYPE.RST_STREAM, 0, 1, '\0\0\0\x0b')), 1)
  t.match(bombed.abuse, { reason: 'one header list after the other that is too large' })
  const calm = new H2Guard()
  calm.sent(many(1000, frame(TYPE.RST_STREAM, 0, 1, '\0\0\0\0')), 1)
  t.equal(calm.abuse, undefined, 'the end of an answer is no reset')
})

const FLOODS = {
  'PING flood': frame(TYPE.PING, 0, 0, '12345678'),
  'SETTINGS flood': frame(TYPE.SETTINGS, 0, 0),
  'PRIORITY flood': frame(TYPE.PRIORITY, 0, 1, '12345'),
  'WINDOW_UPDATE flood': frame(TYPE.WINDOW_UPDATE, 0, 0, '\0\0\0\x01'),
  'unknown frame flood': frame(22, 0, 0),
  'empty or padded DATA flood': frame(TYPE.DATA, 0, 1),
} as const

for (const [reason, one] of Object.entries(FLOODS))
  test(`a ${reason} ends a connection`, async (t) => {
    const guard = new H2Guard()
    guard.received(many(H2_LIMITS.glitches.burst, one), 1)
    t.equal(guard.abuse, undefined)
    guard.received(one, 1)
    t.match(guard.abuse, { reason })
  })

test('window updates and pings that answer a stream of data are no flood', async (t) => {
  const guard = new H2Guard()
  const answers = Buffer.concat([FLOODS['WINDOW_UPDATE flood'], FLOODS['PING flood']])
  for (let i = 0; i < 5000; i++) {
    guard.sent(data, 1)
    guard.received(answers, 1)
  }
  t.equal(guard.abuse, undefined)
})

test('a header block may have so many frames and bytes, and no more', async (t) => {
  const part = frame(TYPE.CONTINUATION, 0, 1, 'x')
  const many8 = new H2Guard()
  many8.received(Buffer.concat([frame(TYPE.HEADERS, 0, 1, 'x'), many(8, part)]), 5)
  t.equal(many8.abuse, undefined)
  t.equal(many8.blockSince, 5, 'and is known to be incomplete')
  many8.received(part, 6)
  t.match(many8.abuse, { reason: 'CONTINUATION flood' })

  const large = new H2Guard()
  const piece = 'x'.repeat(16384)
  large.received(frame(TYPE.HEADERS, 0, 1, piece), 1)
  large.received(many(3, frame(TYPE.CONTINUATION, 0, 1, piece)), 1)
  t.equal(large.abuse, undefined)
  large.received(frame(TYPE.CONTINUATION, END_HEADERS, 1, 'x'), 1)
  t.match(large.abuse, { reason: 'header block too large' })

  const whole = new H2Guard()
  whole.received(frame(TYPE.HEADERS, END_HEADERS | END_STREAM, 1, 'x'), 7)
  t.equal(whole.blockSince, 0)
})
