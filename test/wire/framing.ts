import fc from 'fast-check'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { parseContentLength, requestFraming, responseFraming } from '../../src/wire/framing.ts'

const outcome = (decide: () => { kind: string }): string => {
  try {
    return decide().kind
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}

test('a Content-Length is a plain number of at most 15 digits, and nothing that JavaScript would take for one', async (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.string({ unit: fc.constantFrom(...'0123456789') }),
        fc.constantFrom('0x5', '', ' 5', '5\n', '1e3', '٣', '5_0', 'Infinity', '-1', '+1', '00'),
        fc.maxSafeNat().map(String),
      ),
      (text) => {
        const plain = /^(?:0|[1-9][0-9]{0,14})$/.test(text) && !text.endsWith('\n')
        t.equal(parseContentLength(text), plain ? Number(text) : undefined)
      },
    ),
    { numRuns: 2000 },
  )
})

test('requests: RFC 9112 6.3, with what is ambiguous refused', async (t) => {
  const rows = [
    ['POST', 1, undefined, undefined, 'none'],
    ['POST', 1, '0', undefined, 'none'],
    ['POST', 1, '5', undefined, 'length'],
    ['POST', 0, '5', undefined, 'length'],
    ['POST', 1, undefined, 'chunked', 'chunked'],
    ['POST', 1, '5', 'chunked', 'MALFORMED_REQUEST'],
    ['POST', 1, '0', 'chunked', 'MALFORMED_REQUEST'],
    ['POST', 1, '', 'chunked', 'MALFORMED_REQUEST'],
    ['POST', 0, undefined, 'chunked', 'MALFORMED_REQUEST'],
    ['POST', 1, undefined, '', 'UNKNOWN_TRANSFER_CODING'],
    ['POST', 1, undefined, 'gzip, chunked', 'UNKNOWN_TRANSFER_CODING'],
    ['GET', 1, '0', undefined, 'none'],
    ['GET', 1, '1', undefined, 'BODY_NOT_ALLOWED'],
    ['DELETE', 1, undefined, 'chunked', 'BODY_NOT_ALLOWED'],
  ] as const
  for (const [method, minor, length, coding, wanted] of rows)
    t.equal(
      outcome(() => requestFraming(method, minor, length, coding)),
      wanted,
      `${method} HTTP/1.${minor} ${length} ${coding}`,
    )
})

test('responses: a body where one can be, and its end known', async (t) => {
  const rows = [
    ['GET', 1, 200, undefined, undefined, 'until-close'],
    ['GET', 0, 200, undefined, undefined, 'until-close'],
    ['GET', 1, 200, '0', undefined, 'none'],
    ['GET', 1, 200, '5', undefined, 'length'],
    ['GET', 1, 200, undefined, 'chunked', 'chunked'],
    ['HEAD', 1, 200, '5', undefined, 'none'],
    ['HEAD', 1, 200, undefined, 'chunked', 'none'],
    ['GET', 1, 204, '5', undefined, 'none'],
    ['GET', 1, 204, undefined, 'chunked', 'none'],
    ['GET', 1, 304, '5', undefined, 'none'],
    ['GET', 1, 101, undefined, undefined, 'none'],
    ['GET', 1, 101, '4', undefined, 'MALFORMED_RESPONSE'],
    ['GET', 1, 100, '0', undefined, 'MALFORMED_RESPONSE'],
    ['GET', 1, 102, undefined, 'chunked', 'MALFORMED_RESPONSE'],
    ['GET', 1, 200, '05', undefined, 'MALFORMED_RESPONSE'],
    ['HEAD', 1, 200, '+5', undefined, 'MALFORMED_RESPONSE'],
    ['GET', 1, 200, '5', 'chunked', 'MALFORMED_RESPONSE'],
    ['GET', 0, 200, undefined, 'chunked', 'MALFORMED_RESPONSE'],
    ['GET', 1, 200, undefined, 'gzip, chunked', 'MALFORMED_RESPONSE'],
  ] as const
  for (const [method, minor, status, length, coding, wanted] of rows)
    t.equal(
      outcome(() => responseFraming(method, minor, status, length, coding)),
      wanted,
      `${status} to ${method} over HTTP/1.${minor}: ${length} ${coding}`,
    )
})
