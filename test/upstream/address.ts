/** Addresses of engines: what they say, and what is no address. */
import { test } from 'tap'
import {
  engineIdentity,
  parseEngineAddress,
  printEngineAddress,
} from '../../src/upstream/address.ts'

test('an address says where and how', async (t) => {
  const rows = [
    ['unix:///run/docker.sock', { kind: 'unix', path: '/run/docker.sock' }],
    ['tcp://10.0.0.2:2375', { kind: 'tcp', host: '10.0.0.2', port: 2375 }],
    ['tls://engine.example.com:2376', { kind: 'tls', host: 'engine.example.com', port: 2376 }],
    ['tls://[fd00::1]:2376', { kind: 'tls', host: 'fd00::1', port: 2376 }],
  ] as const
  for (const [url, address] of rows) {
    t.strictSame(parseEngineAddress(url), address)
    t.equal(printEngineAddress(address), url, 'and can be written down again')
  }
  t.strictSame(parseEngineAddress('tls://e:1/'), parseEngineAddress('tls://e:1'))
})

test('certificates and keys are not written down', async (t) => {
  const address = { kind: 'tls', host: 'e', port: 1, ca: 'A', certificate: 'B', key: 'C' } as const
  t.equal(printEngineAddress(address), 'tls://e:1')
})

test('what is no address is refused with what would be one', async (t) => {
  for (const url of [
    '',
    'docker.sock',
    'unix://docker.sock',
    'tls://engine',
    'tls://engine:0',
    'tls://engine:65536',
    'tls://:2376',
    'tls://me@engine:2376/x',
    'https://engine:2376',
  ])
    t.throws(() => parseEngineAddress(url), /expected unix:.*tcp:.*tls:/, url)
})

test('an engine is one, however its address is spelt', async (t) => {
  const rows = [
    ['unix:///run/docker.sock', 'unix:///run//docker.sock', 'unix:////run/././docker.sock'],
    ['tcp://engine.test:2375', 'tcp://ENGINE.test:2375/', 'tcp://engine.test:02375'],
    ['tls://[fd00::1]:2376', 'tls://[FD00:0:0::1]:2376/'],
    ['tcp://10.0.0.2:2375', 'tcp://[::ffff:10.0.0.2]:2375'],
  ]
  const identities = rows.map((urls) => urls.map((url) => engineIdentity(parseEngineAddress(url))))
  for (const [first, ...others] of identities) for (const other of others) t.equal(other, first)
  t.equal(new Set(identities.flat()).size, rows.length, 'and each is another')
})
