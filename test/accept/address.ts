import { test } from 'tap'
import { isLocalOnly, parseListenAddress } from '../../src/accept/address.ts'

test('listen addresses are read', async (t) => {
  t.match(parseListenAddress('tcp://127.0.0.1:2375'), {
    kind: 'tcp',
    host: '127.0.0.1',
    port: 2375,
  })
  t.match(parseListenAddress('tcp://[::1]:0/'), { kind: 'tcp', host: '::1', port: 0 })
  t.match(parseListenAddress('tcp://localhost:65535'), { host: 'localhost', port: 65535 })
  t.match(parseListenAddress('unix:///run/berth.sock'), { kind: 'unix', path: '/run/berth.sock' })
})

test('an address that cannot be listened on is refused by name', async (t) => {
  const rows = [
    '127.0.0.1:2375',
    'tcp://127.0.0.1',
    'tcp://127.0.0.1:65536',
    'tcp://127.0.0.1:-1',
    'tcp://:2375',
    'tcp://a b:1',
    'tcp://::1:2375',
    'http://127.0.0.1:2375',
    'unix://run/berth.sock',
    `unix:///${'a'.repeat(107)}`,
    `unix:///${'é'.repeat(60)}`,
  ]
  for (const url of rows) t.throws(() => parseListenAddress(url), { message: url }, url)
})

test('only loopback and unix sockets are local', async (t) => {
  const rows: readonly (readonly [string, boolean])[] = [
    ['unix:///run/berth.sock', true],
    ['tcp://127.0.0.1:1', true],
    ['tcp://127.1.2.3:1', true],
    ['tcp://localhost:1', true],
    ['tcp://[::1]:1', true],
    ['tcp://0.0.0.0:1', false],
    ['tcp://[::]:1', false],
    ['tcp://10.0.0.1:1', false],
    ['tcp://localhost.example.com:1', false],
    ['tcp://127.0.0.1.example.com:1', false],
  ]
  for (const [url, local] of rows) t.equal(isLocalOnly(parseListenAddress(url)), local, url)
})
