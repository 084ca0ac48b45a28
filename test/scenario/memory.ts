/**
 * Memory is bounded by constants: by no image's size, no number of clients that do not read, no time that streams stay.
 * BERTH_SOAK=1 moves 5 GB and holds streams for a minute.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { startDocker } from '../../fixtures/docker.ts'
import type { Berth } from '../support/berth.ts'
import { startPair, succeed } from '../support/docker.ts'

const SOAK = process.env.BERTH_SOAK === '1'
const MIB = 1 << 20
const ALLOWED_GROWTH = 64 * MIB

/** Bytes of memory that a process holds. */
const residentSize = async (pid: number): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(status.match(/^VmRSS:\s+(\d+) kB$/m)?.[1]) * 1024
}

/** Samples berth's memory until `work` is done; resolves to the growth over the start, at its highest. */
const growth = async ({ pid }: Berth, work: () => Promise<unknown>): Promise<number> => {
  const start = await residentSize(pid)
  let highest = start
  const sampler = setInterval(async () => {
    highest = Math.max(highest, await residentSize(pid))
  }, 50)
  await work().finally(() => clearInterval(sampler))
  return Math.max(highest, await residentSize(pid)) - start
}

const bounded = (t: Test, grown: number): void => {
  t.ok(grown < ALLOWED_GROWTH, `memory grew by ${Math.round(grown / MIB)} MiB`)
}

/** Sends a request and resolves to its connection once the answer has begun; nothing further is read. */
const ask = async (t: Test, { url }: Berth, path: string): Promise<Socket> => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  const [head] = await once(socket, 'data')
  socket.pause()
  if (!String(head).startsWith('HTTP/1.1 200 ')) throw new Error(`${path}: ${head}`)
  return socket
}

test('images pass without staying', async (t) => {
  const { engine, berth } = await startPair(t)
  const megabytes = SOAK ? 5000 : 500
  const script = `head -c ${megabytes}m /dev/zero >/zero`
  await succeed(engine, ['run', '--name', 'large', 'busybox', 'sh', '-c', script])
  await succeed(engine, ['commit', 'large', 'large'])
  await succeed(engine, ['rm', 'large'])
  await succeed(berth, ['ps'])

  const grown = await growth(berth, async () => {
    const save = await startDocker(berth, ['save', 'large'])
    const load = await startDocker(berth, ['load'])
    const [said] = await Promise.all([text(load.stdout), pipeline(save.stdout, load.stdin)])
    t.equal(said, 'Loaded image: large:latest\n')
  })
  bounded(t, grown)
})

test('500 clients ask for an image or a container and never read it', async (t) => {
  const { engine, berth } = await startPair(t)
  // Much more than the kernel takes in for a connection.
  const script = 'head -c 32m /dev/zero >/zero'
  await succeed(engine, ['run', '--name', 'large', 'busybox', 'sh', '-c', script])
  await succeed(engine, ['commit', 'large', 'large'])
  await succeed(berth, ['ps'])
  // An engine unpacks an image for each save, and half a minute's work of that is for the soak.
  const path = SOAK ? '/images/get?names=large' : '/containers/large/export'

  const grown = await growth(berth, async () => {
    await Promise.all(Array.from({ length: 500 }, () => ask(t, berth, path)))
    await delay(2000)
  })
  bounded(t, grown)
  const version = await succeed(berth, ['version', '--format', '{{.Server.Version}}'])
  t.match(version, /^\d/, 'others are served')
})

test('2,000 followed streams stay, idle, and cost nothing more', async (t) => {
  const { engine, berth } = await startPair(t)
  const script = 'trap "echo woken" USR1; while :; do sleep 1000 & wait; done'
  await succeed(engine, ['run', '-d', '--name', 'quiet', 'busybox', 'sh', '-c', script])
  const streams = await Promise.all(
    Array.from({ length: 2000 }, (_, index) =>
      ask(t, berth, index % 2 === 0 ? '/events' : '/containers/quiet/logs?follow=1&stdout=1'),
    ),
  )
  let cut = 0
  for (const stream of streams) stream.resume().once('close', () => (cut += 1))
  const grown = await growth(berth, () => delay(SOAK ? 60_000 : 3000))
  t.ok(grown < 8 * MIB, `memory grew by ${Math.round(grown / MIB)} MiB while they were idle`)
  t.equal(cut, 0, 'none was cut')

  let woken = 0
  for (const stream of streams) stream.once('data', () => (woken += 1))
  await succeed(engine, ['kill', '--signal', 'USR1', 'quiet'])
  await delay(1000)
  t.equal(woken, streams.length, 'each of them still works')
})
