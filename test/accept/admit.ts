import { test } from 'tap'
import { admit, isLoopbackHost } from '../../src/accept/admit.ts'
import { Failure } from '../../src/errors.ts'
import type { Connection } from '../../src/exchange.ts'
import { parseRequestHead } from '../../src/wire/parse-request.ts'

const ANONYMOUS: Connection = {
  listener: 'tcp://127.0.0.1:2375',
  isAnonymous: true,
  remoteAddress: '127.0.0.1',
  serverName: undefined,
  certificate: undefined,
  isGone: false,
  whenGone: [],
  end() {},
}
const ALLOWED = new Set(['d', 'berth.example'])

const outcome = (connection: Connection, host: string, ...fields: string[]): string => {
  const lines = ['POST /build HTTP/1.1', `Host: ${host}`, ...fields]
  try {
    admit(parseRequestHead(lines.join('\r\n')), connection, ALLOWED)
    return 'admitted'
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}

test('an anonymous TCP listener answers to loopback names and to those it was told', async (t) => {
  const admitted = [
    '',
    'localhost',
    'LOCALHOST:2375',
    'api.moby.localhost',
    'a_b.localhost',
    '127.0.0.1',
  ]
    .concat(['127.9.9.9:80', '[::1]', '[::1]:2375', 'localhost.', 'd', 'D:80', 'BERTH.example'])
    .concat(['%2Fvar%2Frun%2Fdocker.sock', '%2fa:80'])
  for (const host of admitted) t.equal(outcome(ANONYMOUS, host), 'admitted', host)
  const refused = ['example.com', 'localhost.example.com', 'notlocalhost', '127.0.0.1.example.com']
    .concat([
      '10.0.0.1',
      '0.0.0.0',
      '[::]',
      '[::ffff:127.0.0.1]',
      'x.d',
      'd.',
      '1270.0.0.1',
      '127.1',
    ])
    .concat(['x%2Fvar%2Frun%2Fdocker.sock', '.localhost', 'localhost..'])
  for (const host of refused) t.equal(outcome(ANONYMOUS, host), 'HOST_NOT_SERVED', host)
})

test('a listener that asks who it is, and a unix socket, take any Host', async (t) => {
  t.equal(outcome({ ...ANONYMOUS, isAnonymous: false }, 'example.com'), 'admitted')
  t.equal(outcome({ ...ANONYMOUS, listener: 'unix:///run/b.sock' }, 'example.com'), 'admitted')
})

test('what only a web page sends is refused everywhere', async (t) => {
  const fields = [
    'Origin: http://localhost',
    'oRIGIN: null',
    'Origin:',
    'Sec-Fetch-Mode: cors',
  ].concat(['Sec-Fetch-Site: same-origin', 'Sec-Fetch-Dest: empty', 'Sec-Fetch-User: ?1'])
  for (const field of fields)
    for (const listener of [ANONYMOUS.listener, 'unix:///run/b.sock'])
      t.equal(outcome({ ...ANONYMOUS, listener }, 'localhost', field), 'BROWSER', field)
})

test('loopback is decided without looking twice at any character', async (t) => {
  t.equal(isLoopbackHost(`${'a.'.repeat(30_000)}!`), false)
  t.equal(isLoopbackHost(`${'a'.repeat(60_000)}!`), false)
})
