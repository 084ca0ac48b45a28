/** The embedded store: the contract, several processes on one directory, and kill -9. */

import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { openLmdb } from '../../src/store/lmdb.ts'
import { storeContract, until } from '../contract/store.ts'

const FULL_DISK = join(import.meta.dirname, '../support/full-disk.ts')
const WRITER = join(import.meta.dirname, '../support/store-writer.ts')

/** Where the lock file of LMDB says which commit is the newest: 8 bytes, little-endian. */
const NEWEST_COMMIT_AT = 8

/**
 * A process that writes `NAME/0`, `NAME/1` ... to the store at `path` and says which ones were acknowledged.
 *
 * @param pauseMs between two of them
 */
const startWriter = async (path: string, name: string, pauseMs = 0) => {
  const child = fork(WRITER, [path, name, String(pauseMs)])
  const acknowledged: number[] = []
  child.on('message', (n) => acknowledged.push(Number(n)))
  await once(child, 'message')
  return {
    acknowledged,
    kill: async () => {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}

test('the embedded store keeps the contract', async (t) => {
  storeContract(t, async (t) => {
    const path = t.testdir()
    return { connect: () => openLmdb(path) }
  })
})

test('kill -9 of twenty writers, four at a time, loses no acknowledged write', async (t) => {
  const path = t.testdir()
  const store = await openLmdb(path)
  t.teardown(() => store.close())
  for (let round = 0; round < 5; round += 1) {
    const names = [0, 1, 2, 3].map((i) => `${round}.${i}`)
    const writers = await Promise.all(names.map((name) => startWriter(path, name)))
    await sleep(Math.random() * 150)
    await Promise.all(
      writers.map(async ({ kill }) => {
        await sleep(Math.random() * 50)
        await kill()
      }),
    )
    for (const [i, { acknowledged }] of writers.entries()) {
      const kept = new Set<number>()
      for await (const { key, value } of store.range(`${names[i]}/`)) {
        kept.add(Number(key.split('/')[1]))
        if (value.toString() !== key.repeat(50)) t.fail(`${key} is damaged`)
      }
      t.ok(acknowledged.length > 0, 'it wrote')
      t.same(
        acknowledged.filter((n) => !kept.has(n)),
        [],
        'all that was acknowledged is there',
      )
    }
    t.ok(await store.put('after', String(round)), 'the others go on writing')
  }
  const again = await openLmdb(path)
  t.equal((await again.get('after'))?.value.toString(), '4', 'and it opens again')
  await again.close()
})

test('a watcher hears of the writes of another process', async (t) => {
  const path = t.testdir()
  const store = await openLmdb(path)
  t.teardown(() => store.close())
  const heard = new Set<string>()
  await store.watch('other/', { changed: (key) => heard.add(key), missed: () => undefined })
  const writer = await startWriter(path, 'other')
  await until(() => heard.size >= 100)
  await writer.kill()
  await until(() => writer.acknowledged.every((n) => heard.has(`other/${n}`)), 1000)
  t.pass('every acknowledged write was told')
})

test('a commit is told in time also to those who look while it is being synced', async (t) => {
  const path = t.testdir()
  const heard: Set<string>[] = []
  // many watchers, whose looks are spread over the time from one look to the next
  for (let i = 0; i < 60; i += 1) {
    const store = await openLmdb(path)
    t.teardown(() => store.close())
    const mine = new Set<string>()
    heard.push(mine)
    await store.watch('rare/', { changed: (key) => mine.add(key), missed: () => undefined })
    await sleep(4)
  }
  const writer = await startWriter(path, 'rare', 500)
  for (let n = 1; n <= 12; n += 1) {
    await until(() => writer.acknowledged.includes(n))
    await sleep(450)
    const late = heard.filter((mine) => !mine.has(`rare/${n}`))
    t.equal(late.length, 0, `commit ${n} has been told to everyone`)
  }
  await writer.kill()
})

/** Makes every process on the store at `path` believe that its newest commit but one were its newest, as a late opener does. */
const setBack = (path: string): void => {
  const file = openSync(join(path, 'lock.mdb'), 'r+')
  const newest = Buffer.alloc(8)
  readSync(file, newest, 0, 8, NEWEST_COMMIT_AT)
  newest.writeBigUInt64LE(newest.readBigUInt64LE() - 1n)
  writeSync(file, newest, 0, 8, NEWEST_COMMIT_AT)
  closeSync(file)
}

test('a commit that a process which opened the store has set back is not overwritten', async (t) => {
  const path = t.testdir()
  const store = await openLmdb(path)
  t.teardown(() => store.close())
  for (const key of ['a', 'b', 'c']) await store.put(key, key)
  setBack(path)
  t.equal(await store.get('c'), undefined, 'it is gone from sight')
  const writing = store.put('d', 'd')
  t.equal(await Promise.race([writing, sleep(100)]), undefined, 'who writes waits')
  const other = await startWriter(path, 'other')
  await other.kill()
  t.ok(await writing, 'until somebody has opened it anew')
  for (const key of ['a', 'b', 'c', 'd']) t.ok(await store.get(key), `${key} is there`)
})

test('who cannot see the newest commit does not serve the store', async (t) => {
  const path = t.testdir()
  const store = await openLmdb(path)
  for (const key of ['a', 'b']) await store.put(key, key)
  setBack(path)
  // lmdb opens a directory once in a process: this look at it repairs nothing
  await t.rejects(openLmdb(path), { code: 'STORE_UNAVAILABLE' })
  await t.rejects(store.put('c', 'c'), { code: 'STORE_UNAVAILABLE' })
  await store.close()
  const again = await openLmdb(path)
  for (const key of ['a', 'b']) t.ok(await again.get(key), `${key} is there`)
  await again.close()
})

test('a watcher that falls too far behind is told that it missed something', async (t) => {
  const path = t.testdir()
  const [a, b] = [await openLmdb(path), await openLmdb(path)]
  t.teardown(() => Promise.all([a.close(), b.close()]))
  let missed = 0
  await b.watch('k', {
    changed: () => undefined,
    missed: () => {
      missed += 1
    },
  })
  const writes: Promise<unknown>[] = []
  for (let i = 0; i < 10_100; i += 1) writes.push(a.put('k', 'x'))
  await Promise.all(writes)
  await until(() => missed > 0)
  t.equal(missed, 1)
})

test('it says what its writes survive, and a place it cannot have is named', async (t) => {
  const store = await openLmdb(t.testdir())
  t.equal((await store.durability()).certain, true)
  await store.close()
  await t.rejects(openLmdb('/dev/null/store'), {
    code: 'STORE_UNAVAILABLE',
    message: /\/dev\/null/,
  })
})

test('closing waits for what is under way, and leaves nothing behind that throws', async (t) => {
  const path = t.testdir()
  const store = await openLmdb(path)
  await store.put('a', '1')
  await store.get('a')
  const writing = store.put('b', '2')
  await store.close()
  t.ok(await writing, 'it was written')
  await t.rejects(store.get('a'), { code: 'STORE_UNAVAILABLE' })
  await t.rejects(store.put('a', '2'), { code: 'STORE_UNAVAILABLE' })
  // lmdb's own timer for read transactions would end the process by now
  await sleep(50)
  const again = await openLmdb(path)
  t.equal((await again.get('b'))?.value.toString(), '2')
  await again.close()
})

test('a full disk fails the writes that it is too small for, and nothing else', async (t) => {
  const folder = t.testdir()
  const mounted = 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"'
  const node = [process.execPath, ...process.execArgv, FULL_DISK, folder]
  const child = spawn('unshare', ['--mount', 'sh', '-c', mounted, folder, ...node])
  const ended = once(child, 'close')
  const said = JSON.parse(await text(child.stdout))
  t.same(await ended, [0, null], 'no promise of lmdb ended the process')
  t.match(said.whileFull, Array(4).fill(/^the store cannot be reached: .*No space left on device/))
  t.match(said, { after: Array(4).fill('kept'), before: 20_000, lost: true })
})
