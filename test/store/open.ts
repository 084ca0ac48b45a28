/** Which store a URL names, and what is said of one that names none. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { openStore } from '../../src/store/open.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'

test('lmdb:// opens a directory, which is made if need be', async (t) => {
  const store = await openStore(`lmdb://${t.testdir()}/deep/er`)
  t.ok(await store.put('k', 'v'))
  await store.close()
})

test('a Redis URL says where, how and as whom', async (t) => {
  t.match(parseRedisUrl('redis://localhost'), {
    kind: 'single',
    addresses: [{ host: 'localhost', port: 6379 }],
    database: 0,
    prefix: 'berth',
  })
  t.match(parseRedisUrl('rediss://me:p%40ss@[::1]:7000/4?prefix=other'), {
    addresses: [{ host: '::1', port: 7000 }],
    database: 4,
    username: 'me',
    password: 'p@ss',
    tls: {},
    prefix: 'other',
  })
  t.match(parseRedisUrl('redis+sentinel://a,b:1234/main/2'), {
    kind: 'sentinel',
    addresses: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 1234 },
    ],
    master: 'main',
    database: 2,
  })
  t.match(parseRedisUrl('rediss+cluster://a,b'), {
    kind: 'cluster',
    addresses: [
      { host: 'a', port: 6379 },
      { host: 'b', port: 6379 },
    ],
    tls: {},
  })
})

test('a password comes from a file, without its line end', async (t) => {
  const file = join(t.testdir(), 'password')
  writeFileSync(file, 'secret\n')
  t.equal(parseRedisUrl(`redis://h?password-file=${file}`).password, 'secret')
})

const WRONG: Readonly<Record<string, RegExp>> = {
  'berth.db': /must start with lmdb:\/\//,
  'http://localhost': /must start with lmdb:\/\//,
  'constructor://x': /must start with lmdb:\/\//,
  'lmdb://relative/path': /"relative\/path" is not an absolute path/,
  'redis://': /names no host/,
  'redis://a:0': /"a:0" is not a host/,
  'redis://a:70000': /"a:70000" is not a host/,
  'redis://::1': /brackets/,
  'redis://a,b': /redis\+sentinel:\/\/.*redis\+cluster:\/\//,
  'redis://a/x': /"x" does not end in a database number/,
  'redis://me:50%@a': /its password holds an escape/,
  'redis://%zz@a': /its user name holds an escape/,
  'redis+sentinel://a/%': /its name of the master holds an escape/,
  'lmdb:///100%': /its path holds an escape that is none; write "%" as %25/,
  'lmdb:///a%00': /its path holds an escape/,
  'redis://a/1/2': /"1\/2" does not end in a database number/,
  'redis://a?tls=1': /"tls" is not a parameter of it; there are password-file/,
  'redis://a?password-file=/none': /password-file: ENOENT.*\/none/,
  'redis://a?prefix={x}': /prefix/,
  'redis+sentinel://a,b': /name of the master/,
  'redis+cluster://a/1': /no database numbers/,
}

for (const [url, message] of Object.entries(WRONG)) {
  test(`${url} is refused with what is wrong`, async (t) => {
    await t.rejects(openStore(url), { code: 'STORE_URL', message })
  })
}

test('no message has the password of a wrong URL', async (t) => {
  for (const url of [
    'redis://me:hunter2@a:x',
    'redis://me:hunter2@a/x',
    'redis://me:hunter2@a,b',
    'redis://me:hunter2%@a',
  ]) {
    const error = await openStore(url).then(
      () => undefined,
      (error: Error) => error,
    )
    t.match(error, { code: 'STORE_URL' })
    t.notMatch(error?.message, 'hunter2')
  }
})
