import fc from 'fast-check'
import { type Test, test } from 'tap'
import { Failure } from '../../src/errors.ts'
import type { ResponseHead } from '../../src/wire/head.ts'
import { parseResponseHead } from '../../src/wire/parse-response.ts'
import { HeadReader, NEED_MORE } from '../../src/wire/read-head.ts'
import { writeResponseHead } from '../../src/wire/write-head.ts'
import { everySplit, type Feed } from '../support/every-split.ts'

const feedFor =
  (method: string): Feed<ResponseHead | string> =>
  (pieces) => {
    const reader = new HeadReader()
    let before = 0
    try {
      for (const piece of pieces) {
        const end = reader.read(piece, 0, piece.length)
        if (end !== NEED_MORE)
          return { outcome: parseResponseHead(reader.text, method), taken: before + end }
        before += piece.length
      }
    } catch (error) {
      if (error instanceof Failure) return { outcome: 'refused', taken: undefined }
      throw error
    }
    return { outcome: 'more', taken: undefined }
  }

const read = (t: Test, text: string, method = 'GET'): ResponseHead => {
  const outcome = everySplit(t, JSON.stringify(text.slice(0, 50)), text, feedFor(method))
  if (typeof outcome === 'string') throw new Error(`${outcome}: ${text}`)
  return outcome
}

test('the heads that engines send are read', async (t) => {
  const head = read(
    t,
    'HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docker/28.5.2 (linux)\r\nDate: x\r\nContent-Length: 2\r\n\r\n',
  )
  t.match(head, { status: 200, keepAlive: true, apiVersion: '1.51' })
  t.same(head.framing, { kind: 'length', length: 2 })
  t.equal(
    head.fields,
    'Api-Version: 1.51\r\nContent-Type: application/json\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docker/28.5.2 (linux)\r\nDate: x\r\n',
  )
  const upgraded = read(
    t,
    'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
    'POST',
  )
  t.match(upgraded, { status: 101, upgrade: 'tcp' })
})

test('whether the connection may be used again is decided by its framing and by what it says', async (t) => {
  const keeps = (text: string) => read(t, `${text}\r\n\r\n`).keepAlive
  t.equal(keeps('HTTP/1.1 200 OK\r\nContent-Length: 2'), true)
  t.equal(keeps('HTTP/1.1 200\r\nContent-Length: 2'), true)
  t.equal(keeps('HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked'), true)
  t.equal(keeps('HTTP/1.1 200 OK'), false)
  t.equal(keeps('HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive'), false)
  t.equal(keeps('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close'), false)
  t.equal(keeps('HTTP/1.1 200 OK\r\nConnection: close, Content-Length\r\nContent-Length: 2'), false)
  t.equal(
    keeps('HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 0'),
    false,
  )
})

test('HEAD and 304 keep the length they announce, and have no body', async (t) => {
  const head = read(t, 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 'HEAD')
  t.match(head, { framing: { kind: 'none' }, announcedLength: '5' })
  t.match(writeResponseHead('HEAD', head, head.framing, false), /^Content-Length: 5\r$/m)
  const empty = read(t, 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n')
  t.notMatch(writeResponseHead('GET', empty, empty.framing, false), /Content-Length/)
})

test('of a field that comes twice the first line counts, unless it is a list', async (t) => {
  const { fields } = read(
    t,
    'HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nVary: a\r\ncontent-type: c/d\r\nVary: b\r\nContent-Length: 0\r\n\r\n',
  )
  t.equal(fields, 'Content-Type: a/b\r\nVary: a\r\nVary: b\r\n')
})

test('a malformed head is refused', async (t) => {
  const ok = 'HTTP/1.1 200 OK\r\n'
  const rows = [
    'HTTP/1.1 20 OK\r\n',
    'HTTP/1.1 2000 OK\r\n',
    'HTTP/1.1 099 X\r\n',
    'HTTP/1.1  200 OK\r\n',
    'HTTP/1.1\t200 OK\r\n',
    'HTTP/1.2 200 OK\r\n',
    'HTTP/2.0 200 OK\r\n',
    'http/1.1 200 OK\r\n',
    'ICY 200 OK\r\n',
    ' HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 200 O\0K\r\n',
    'HTTP/1.1 200 O\x01K\r\n',
    `${ok}Content-Length : 2\r\n`,
    `${ok}X: a\0b\r\n`,
    `${ok}X: a\r\n b\r\n`,
    `${ok}: a\r\n`,
    `${ok}nothing\r\n`,
    `${ok}Content-Length: 2\r\nContent-Length: 2\r\n`,
    `${ok}Content-Length: 2, 2\r\n`,
    `${ok}Content-Length: +2\r\n`,
    `${ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n`,
    `${ok}Transfer-Encoding: gzip, chunked\r\n`,
    `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n`,
    `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n`,
    `HTTP/1.1 101 X\r\nUpgrade: tcp\r\nUpgrade: h2c\r\n`,
    `HTTP/1.1 101 X\r\nContent-Length: 4\r\n`,
    `${ok}${'X: y\r\n'.repeat(101)}`,
  ]
  for (const text of rows)
    t.equal(feedFor('GET')([Buffer.from(`${text}\r\n`, 'latin1')]).outcome, 'refused', text)
})

test('what is written is read as the same, and written again as the same', async (t) => {
  const value = fc.string({ unit: fc.constantFrom(...'abcXYZ 0/;=,."\t'), maxLength: 20 })
  const fields = fc
    .uniqueArray(
      fc.tuple(
        fc.constantFrom(
          'Api-Version',
          'content-type',
          'SERVER',
          'X-Other',
          'Set-Cookie',
          'Location',
        ),
        value,
      ),
      { selector: ([name]) => name.toLowerCase() },
    )
    .map((rows) => rows.map(([name, text]) => `${name}: ${text}\r\n`).join(''))
  const framing = fc.constantFrom('', 'Content-Length: 7\r\n', 'Transfer-Encoding: chunked\r\n')
  const status = fc.constantFrom(200, 201, 204, 304, 404, 500, 999)
  fc.assert(
    fc.property(status, fields, framing, fc.boolean(), (status, fields, framing, close) => {
      const head = parseResponseHead(`HTTP/1.1 ${status} ?\r\n${fields}${framing}`.trimEnd(), 'GET')
      const text = writeResponseHead('GET', head, head.framing, close)
      t.match(text, /^HTTP\/1\.1 [0-9]{3} [A-Za-z ]*\r\n(?:[!-9;-~]+: ?[\t -~]*\r\n)*\r\n$/)
      const again = parseResponseHead(text.slice(0, -4), 'GET')
      // RFC 9110 8.6: what a 204 announces goes no further
      const announced = status === 204 ? undefined : head.announcedLength
      t.same({ ...again, keepAlive: head.keepAlive }, { ...head, announcedLength: announced })
      t.equal(writeResponseHead('GET', again, again.framing, close), text)
    }),
    { numRuns: 500 },
  )
})
