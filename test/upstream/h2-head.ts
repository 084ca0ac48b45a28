/** Heads of HTTP/2 and the HTTP/1.1 heads they stand for. */
import { test } from 'tap'
import { parseResponseFields, requestFields } from '../../src/upstream/h2-head.ts'

const head = (...lines: readonly string[]): string => [...lines, '\r\n'].join('\r\n')

test('a request head loses what belongs to a connection', async (t) => {
  t.strictSame(
    requestFields(
      head(
        'POST /v1.51/containers/a/start?x=1 HTTP/1.1',
        'Host: engine:2376',
        'User-Agent: a: b',
        'Connection: Upgrade',
        'Upgrade: tcp',
        'Transfer-Encoding: chunked',
        'Content-Type: application/json',
      ),
    ),
    {
      fields: {
        ':method': 'POST',
        ':scheme': 'https',
        ':path': '/v1.51/containers/a/start?x=1',
        ':authority': 'engine:2376',
        'user-agent': 'a: b',
        'content-type': 'application/json',
      },
      hasBody: true,
    },
  )
})

test('whether a body follows is what its framing says', async (t) => {
  const hasBody = (...lines: string[]) =>
    requestFields(head('POST / HTTP/1.1', 'Host: e', ...lines)).hasBody
  t.equal(hasBody(), false)
  t.equal(hasBody('Content-Length: 0'), false)
  t.equal(hasBody('Content-Length: 10'), true)
  t.equal(hasBody('Transfer-Encoding: chunked'), true)
})

test('a field that repeats stays as often as it was', async (t) => {
  const { fields } = requestFields(head('GET / HTTP/1.1', 'Host: e', 'A: 1', 'B: 2', 'A: 3'))
  t.match(fields, { a: ['1', '3'], b: '2' })
})

test('a response head is one of HTTP/1.1 in all that is forwarded', async (t) => {
  const list = [':status', '200', 'api-version', '1.51', 'x-unknown', 'y', 'content-length', '5']
  t.strictSame(parseResponseFields(list, 'GET', false), {
    status: 200,
    fields: 'Api-Version: 1.51\r\n',
    framing: { kind: 'length', length: 5 },
    announcedLength: undefined,
    keepAlive: true,
    upgrade: undefined,
    apiVersion: '1.51',
  })
})

test('a body ends with its length, or with its stream, or there is none', async (t) => {
  const rows: readonly (readonly [list: string[], method: string, isAll: boolean, kind: string])[] =
    [
      [[':status', '200'], 'GET', false, 'until-close'],
      [[':status', '200'], 'GET', true, 'none'],
      [[':status', '200', 'content-length', '7'], 'HEAD', true, 'none'],
      [[':status', '200', 'content-length', '0'], 'GET', true, 'none'],
      [[':status', '204'], 'POST', true, 'none'],
      [[':status', '304', 'content-length', '7'], 'GET', true, 'none'],
    ]
  for (const [list, method, isAll, kind] of rows) {
    const parsed = parseResponseFields(list, method, isAll)
    t.match(parsed, { framing: { kind }, keepAlive: true }, list.join(' '))
  }
})

test('what an engine may not say is malformed', async (t) => {
  const lists: readonly (readonly string[])[] = [
    [],
    ['server', 'x'],
    ['server', 'x', ':status', '200'],
    [':status', '101'],
    [':status', '20'],
    [':status', '2000'],
    [':status', '200\r\nA: b'],
    [':status', '200', ':status', '200'],
    [':status', '200', ':path', '/'],
    [':status', '200', 'Server', 'x'],
    [':status', '200', 'server', 'x\r\nApi-Version: 9'],
    [':status', '200', 'server\r\na', 'x'],
    [':status', '200', 'a b', 'x'],
    [':status', '200', '', 'x'],
    [':status', '200', 'connection', 'close'],
    [':status', '200', 'transfer-encoding', 'chunked'],
    [':status', '200', 'upgrade', 'h2c'],
    [':status', '200', 'content-length', '+5'],
    [':status', '200', 'content-length', '5', 'content-length', '5'],
    [':status', '200', 'content-length', '5, 5'],
    Array.from({ length: 103 }, (_, i) => (i === 0 ? [':status', '200'] : [`f${i}`, 'x'])).flat(),
  ]
  for (const list of lists)
    t.throws(
      () => parseResponseFields(list, 'GET', false),
      { code: 'MALFORMED_RESPONSE' },
      list.join(' ').slice(0, 60),
    )
  t.throws(
    () => parseResponseFields([':status', '200', 'content-length', '5'], 'GET', true),
    { code: 'MALFORMED_RESPONSE' },
    'it ends before the body that it announces',
  )
})
