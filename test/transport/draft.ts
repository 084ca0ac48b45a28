/** A message is what was put into it, whatever the same memory held before. */
import fc from 'fast-check'
import { test } from 'tap'
import { FIRST_BYTES } from '../../src/transport/buffers.ts'
import { Draft } from '../../src/transport/draft.ts'

const front = fc.constantFrom('', 'a', 'HTTP/1.1 200', 'HTTP/1.1 201', 'caf\xe9')
const text = fc.oneof(front, fc.constantFrom('x'.repeat(9000), 'y'.repeat(FIRST_BYTES)))
const part = fc.oneof(
  text,
  fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
)
const message = fc.record({
  front,
  parts: fc.array(part, { maxLength: 6 }),
  isKept: fc.boolean(),
})

const bytesOf = (part: string | Buffer): Buffer =>
  typeof part === 'string' ? Buffer.from(part, 'latin1') : part

test('a message is what was put into it, and stays as it was when it is kept', async (t) => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 12 }), (messages) => {
      const draft = new Draft()
      const kept: { readonly bytes: Buffer; readonly expected: Buffer }[] = []
      for (const { front, parts, isKept } of messages) {
        draft.begin(front)
        for (const part of parts)
          if (typeof part === 'string') draft.add(part)
          else draft.addBytes(part)
        const expected = Buffer.concat([front, ...parts].map(bytesOf))
        t.ok(draft.bytes.equals(expected))
        t.equal(draft.text, expected.toString('latin1'))
        if (!isKept) continue
        kept.push({ bytes: draft.bytes, expected })
        draft.keep()
      }
      for (const { bytes, expected } of kept) t.ok(bytes.equals(expected), 'what is kept stays')
    }),
    { numRuns: 300 },
  )
})

test('messages of one length are one view', async (t) => {
  const draft = new Draft()
  draft.begin('one')
  const { bytes } = draft
  draft.begin('two')
  t.equal(draft.bytes, bytes)
  t.equal(draft.text, 'two')
})
