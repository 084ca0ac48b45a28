/** The memory that pieces are copied into: what it held before must not show. */
import fc from 'fast-check'
import { test } from 'tap'
import { Bench, sharedBuffer, View } from '../../src/transport/buffers.ts'

const SIZE = 32
const bytes = fc.uint8Array({ maxLength: SIZE / 2 }).map((array) => Buffer.from(array))
const step = fc.oneof(
  fc.record({ kind: fc.constant('copy' as const), bytes }),
  fc.constant({ kind: 'keep' as const }),
)

test('a piece is its bytes, whatever was made before it', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const bench = new Bench(SIZE)
      const kept: { memory: Buffer; was: Buffer }[] = []
      for (const step of steps)
        if (step.kind === 'copy') t.ok(bench.copy(step.bytes).equals(step.bytes))
        else {
          const memory = bench.keep()
          kept.push({ memory, was: Buffer.from(memory) })
        }
      for (const { memory, was } of kept) t.ok(memory.equals(was), 'what is kept stays')
    }),
    { numRuns: 300 },
  )
})

test('a view is of the bytes that were asked for, whatever was asked for before', async (t) => {
  const memories = [Buffer.alloc(SIZE, 1), Buffer.alloc(SIZE, 2), sharedBuffer(false)]
  const range = fc.tuple(fc.constantFrom(...memories), fc.nat(SIZE), fc.nat(SIZE))
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), (asked) => {
      const view = new View()
      for (const [memory, one, other] of asked) {
        const [from, to] = [Math.min(one, other), Math.max(one, other)]
        const part = view.of(memory, from, to)
        t.equal(part.length, to - from)
        t.equal(part.byteOffset, memory.byteOffset + from)
        t.equal(part.buffer, memory.buffer)
      }
    }),
    { numRuns: 300 },
  )
})

test('the same part of memory that is used again is one view, and any other is let go', async (t) => {
  const view = new View()
  const [shared, other] = [sharedBuffer(false), Buffer.alloc(SIZE)]
  t.equal(view.of(shared, 2, 5), view.of(shared, 2, 5))
  t.not(view.of(other, 2, 5), view.of(other, 2, 5))
  const bench = new Bench(SIZE)
  t.equal(bench.copy(Buffer.alloc(3)), bench.copy(Buffer.alloc(3)))
})
