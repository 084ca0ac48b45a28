/** The memory of heads: the same text gives the same object, whatever came between, and it does not grow. */
import fc from 'fast-check'
import { test } from 'tap'
import { parseRequestHead } from '../../src/wire/parse-request.ts'
import { remember } from '../../src/wire/remember.ts'

/** A reader that counts how often it has read. */
const counting = () => {
  const reads = { count: 0 }
  const recall = remember((text) => {
    reads.count++
    return { text }
  })
  return { recall, reads }
}

test('what is remembered is what would be read', async (t) => {
  const recall = remember((text) => ({ text }))
  const few = fc.constantFrom('', 'a', 'b', 'ab', 'x'.repeat(1024), 'x'.repeat(1025))
  fc.assert(
    fc.property(fc.array(fc.oneof(few, fc.string())), (texts) => {
      for (const text of texts) if (recall(text).text !== text) return false
      return true
    }),
  )
  t.pass('for any order of texts')
})

test('a text that comes again is not read again', async (t) => {
  const { recall, reads } = counting()
  const first = recall('one')
  recall('two')
  t.equal(recall('one'), first)
  t.equal(reads.count, 2)
})

test('a text in use stays, however many others come', async (t) => {
  const { recall, reads } = counting()
  const used = recall('used')
  for (let n = 0; n < 5000; n++) {
    recall(`other ${n}`)
    if (n % 100 === 0) t.equal(recall('used'), used)
  }
  t.equal(reads.count, 5001)
})

test('what was not used for long, and long texts, are forgotten', async (t) => {
  const { recall, reads } = counting()
  recall('once')
  for (let n = 0; n < 1100; n++) recall(`other ${n}`)
  recall('once')
  t.equal(reads.count, 1102)
  const long = 'x'.repeat(1025)
  recall(long)
  recall('y')
  recall(long)
  t.equal(reads.count, 1105)
})

test('a refusal is not remembered, and comes each time', async (t) => {
  const recall = remember(parseRequestHead)
  for (let n = 0; n < 3; n++)
    t.throws(() => recall('GET / HTTP/1.1'), { code: 'MALFORMED_REQUEST' })
})

test('heads that are remembered are the same as read anew', async (t) => {
  const recall = remember(parseRequestHead)
  for (const text of ['GET /a HTTP/1.1\r\nHost: x', 'GET /b HTTP/1.1\r\nHost: x'])
    for (let n = 0; n < 2; n++) t.same(recall(text), parseRequestHead(text))
})
