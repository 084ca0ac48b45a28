/** The shared store against real servers: the contract, servers that die, sentinels, a cluster, TLS. */

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { openStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { storeContract, until } from '../contract/store.ts'
import { freePort, startCluster, startRedis, startSentinel } from '../support/redis.ts'

const open = async (t: Test, url: string): Promise<Store> => {
  const store = await openStore(url)
  t.teardown(() => store.close())
  return store
}

/** A new prefix each time, so that the tests of a suite can share one server. */
const placeAt = (url: string) => {
  let count = 0
  return async () => {
    count += 1
    const own = `${url}?prefix=test.${count}`
    return { connect: () => openStore(own) }
  }
}

test('Redis keeps the contract', async (t) => {
  const { port } = await startRedis(t)
  storeContract(t, placeAt(`redis://127.0.0.1:${port}/3`))
})

test('a Redis Cluster keeps the contract', async (t) => {
  const [a, b] = await startCluster(t)
  storeContract(t, placeAt(`redis+cluster://127.0.0.1:${a.port},127.0.0.1:${b.port}`))
})

test('while Redis is away every call fails at once, and all heals when it is back', async (t) => {
  const server = await startRedis(t, { durable: true })
  const [a, b] = await Promise.all([
    open(t, `redis://127.0.0.1:${server.port}`),
    open(t, `redis://127.0.0.1:${server.port}`),
  ])
  const states: string[] = []
  a.onState((state) => states.push(state))
  const heard: string[] = []
  let missed = 0
  await a.watch('k', {
    changed: (key) => heard.push(key),
    missed: () => {
      missed += 1
    },
  })
  await a.put('k', 'before')
  await server.kill()
  await until(() => a.state === 'away')
  const start = performance.now()
  const calls: (() => Promise<unknown>)[] = [
    () => a.get('k'),
    () => a.put('k', 'x'),
    () => a.range('k')[Symbol.asyncIterator]().next(),
    () => a.lease('l', 1000),
  ]
  for (const call of calls) {
    await t.rejects(call(), { code: 'STORE_UNAVAILABLE' })
  }
  t.ok(performance.now() - start < 200, 'without waiting')
  await server.start()
  await until(() => a.state === 'up' && b.state === 'up')
  t.same(states, ['away', 'up'])
  await until(() => missed > 0, 1000)
  t.equal((await a.get('k'))?.value.toString(), 'before')
  heard.length = 0
  await b.put('k2', 'after')
  await until(() => heard.includes('k2'), 1000)
  t.pass('the watch goes on')
})

test('a Redis that hangs is away after two seconds, and its waiting calls fail', async (t) => {
  const server = await startRedis(t)
  const store = await open(t, `redis://127.0.0.1:${server.port}`)
  await store.put('k', '1')
  server.pause()
  t.teardown(() => server.resume())
  const start = performance.now()
  await t.rejects(store.get('k'), { code: 'STORE_UNAVAILABLE' })
  t.ok(performance.now() - start < 2500)
  t.equal(store.state, 'away')
  server.resume()
  await until(() => store.state === 'up')
  t.equal((await store.get('k'))?.value.toString(), '1')
})

test('kill -9 of Redis in the middle of work loses no acknowledged write where it syncs always', async (t) => {
  const server = await startRedis(t, { durable: true })
  const store = await open(t, `redis://127.0.0.1:${server.port}`)
  t.equal((await store.durability()).certain, true)
  for (let round = 0; round < 5; round += 1) {
    const acknowledged: string[] = []
    let isWriting = true
    const write = async (writer: number): Promise<void> => {
      for (let n = 0; isWriting; n += 1) {
        const key = `${round}/${writer}/${n}`
        await store.put(key, key)
        acknowledged.push(key)
      }
    }
    const writers = Promise.allSettled([0, 1, 2, 3].map(write))
    await sleep(20 + Math.random() * 80)
    await server.kill()
    isWriting = false
    await writers
    await server.start()
    await until(() => store.state === 'up')
    const kept = new Set<string>()
    for await (const { key } of store.range(`${round}/`)) kept.add(key)
    t.ok(acknowledged.length > 0, 'it wrote')
    t.same(
      acknowledged.filter((key) => !kept.has(key)),
      [],
      'nothing is lost',
    )
  }
})

test('a count made with compare-and-set while Redis is killed is never made twice', async (t) => {
  const server = await startRedis(t, { durable: true })
  const store = await open(t, `redis://127.0.0.1:${server.port}`)
  let acknowledged = 0
  let unknown = 0
  let isCounting = true
  const counting = (async () => {
    while (isCounting) {
      try {
        const entry = await store.get('n')
        const next = Number(entry?.value ?? 0) + 1
        try {
          if (await store.compareAndSet('n', entry?.revision ?? 0, String(next))) acknowledged += 1
        } catch {
          unknown += 1
        }
      } catch {
        await sleep(20)
      }
    }
  })()
  for (let i = 0; i < 3; i += 1) {
    await sleep(50)
    await server.kill()
    await server.start()
    await until(() => store.state === 'up')
  }
  isCounting = false
  await counting
  const count = Number((await store.get('n'))?.value)
  t.ok(acknowledged > 0)
  t.ok(
    count >= acknowledged && count <= acknowledged + unknown,
    `${count}: ${acknowledged} + ${unknown}`,
  )
})

test('Redis that may lose writes says so, with the cure', async (t) => {
  const { port } = await startRedis(t)
  const store = await open(t, `redis://127.0.0.1:${port}`)
  const { certain, says } = await store.durability()
  t.equal(certain, false)
  t.match(says, 'appendfsync always')
})

test('when the master dies, sentinels lead to the new one', async (t) => {
  const master = await startRedis(t)
  const replica = await startRedis(t, { config: [`replicaof 127.0.0.1 ${master.port}`] })
  const sentinel = await startSentinel(t, 'berth', master.port)
  const store = await open(t, `redis+sentinel://127.0.0.1:${sentinel.port}/berth`)
  let missed = 0
  await store.watch('k', {
    changed: () => undefined,
    missed: () => {
      missed += 1
    },
  })
  await store.put('k', '1')
  const onReplica = await open(t, `redis://127.0.0.1:${replica.port}`)
  while ((await onReplica.get('k')) === undefined) await sleep(50)
  await sleep(1200) // a sentinel has to have seen the replica once before it can choose it
  await master.kill()
  await until(() => store.state === 'away')
  await until(() => store.state === 'up', 15_000)
  t.equal((await store.get('k'))?.value.toString(), '1')
  t.ok(await store.put('k', '2'))
  await until(() => missed > 0)
})

test('over TLS, with a certificate of its own and a password from a file', async (t) => {
  const directory = t.testdir()
  const at = (file: string): string => join(directory, file)
  execFileSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-keyout', at('key.pem'), '-out', at('cert.pem'), '-days', '2', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
  ])
  writeFileSync(at('password'), 'correct horse\n')
  const tlsPort = await freePort()
  await startRedis(t, {
    config: [
      ...[
        `tls-port ${tlsPort}`,
        `tls-cert-file ${at('cert.pem')}`,
        `tls-key-file ${at('key.pem')}`,
      ],
      ...['tls-auth-clients no', 'requirepass "correct horse"'],
    ],
  })
  const url = `rediss://localhost:${tlsPort}?ca=${at('cert.pem')}`
  const store = await open(t, `${url}&password-file=${at('password')}`)
  t.ok(await store.put('k', '1'))
  await t.rejects(openStore(url), { code: 'STORE_UNAVAILABLE', message: /NOAUTH/ })
  await t.rejects(openStore(`rediss://localhost:${tlsPort}`), {
    code: 'STORE_UNAVAILABLE',
    message: /certificate/,
  })
  await t.rejects(openStore(`rediss://:wrong@localhost:${tlsPort}?ca=${at('cert.pem')}`), {
    message: /WRONGPASS/,
  })
})

test('a server that is not there is named', async (t) => {
  const port = await freePort()
  for (const url of [
    `redis://127.0.0.1:${port}`,
    `redis+cluster://127.0.0.1:${port}`,
    `redis+sentinel://127.0.0.1:${port}/main`,
  ]) {
    await t.rejects(openStore(url), {
      code: 'STORE_UNAVAILABLE',
      message: new RegExp(String(port)),
    })
  }
})
