/** The bench itself: does it count right, notice what is wrong, and run from end to end? */

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { CONTENDERS, type Contender } from '../../bench/contender.ts'
import { median, merged, percentile } from '../../bench/figures.ts'
import { allocatedIn, callsIn, worsened } from '../../bench/guard.ts'
import { interleaved, load, measure, type Standing } from '../../bench/measure.ts'
import { Program } from '../../bench/process.ts'
import { judgements } from '../../bench/targets.ts'
import { SCALES, WORKLOADS, workloadsNamed } from '../../bench/workload.ts'

const contender = (name: string): Contender => {
  const found = CONTENDERS.find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`no contender ${name}`)
  return found
}

const STEADY = WORKLOADS.filter(({ atHalfLoad }) => atHalfLoad === undefined)

test('every workload runs through a relay and is answered without an error', async (t) => {
  for (const workload of STEADY) {
    const { figures } = await measure(contender('c-relay'), workload, SCALES.smoke)
    t.equal(figures.errors, 0, workload.name)
    const rate = figures.perSecond ?? figures.gbPerSecond ?? Number.POSITIVE_INFINITY
    t.ok(rate > 0, `${workload.name} moved something`)
    t.ok(figures.rssMb > 0.1, `${workload.name} saw the process`)
  }
})

test('a fixed rate is not exceeded, and its requests are counted', async (t) => {
  const [workload] = workloadsNamed(['get-32-half'])
  if (workload === undefined) throw new Error('no such workload')
  const { histogram } = await measure(contender('direct'), workload, SCALES.smoke, 2000)
  const counted = histogram.reduce((sum, [, count]) => sum + count, 0)
  // how many come through is up to the machine; that it is not more than was asked for is up to the harness
  t.ok(counted > 0 && counted < 2000 * SCALES.smoke.seconds + 60, `${counted} requests`)
})

test('wrong answers fail a run', async (t) => {
  const server = createServer((_, answer) => answer.end('too short')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const folder = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  const self = await Program.start({ file: 'sleep', args: ['60'] }, async () => true)
  t.teardown(async () => {
    server.closeAllConnections()
    server.close()
    await self.stop()
    rmSync(folder, { recursive: true })
  })
  const { port } = server.address() as AddressInfo
  const place: Standing = { port, folder, contender: self, engine: self }
  const [workload] = workloadsNamed(['get-1'])
  if (workload === undefined) throw new Error('no such workload')
  const failure = await load(place, workload, SCALES.smoke).catch((error) => error)
  t.match(failure.stderr, /body of another length/)
})

test('rounds take turns, and every other one runs backwards', async (t) => {
  const seen: string[] = []
  await interleaved(['a', 'b', 'c'], 3, async (name, round) => {
    seen.push(`${round}${name}`)
  })
  t.same(seen, ['0a', '0b', '0c', '1c', '1b', '1a', '2a', '2b', '2c'])
})

test('percentiles come from the counts of a histogram', async (t) => {
  const histogram = merged([
    [
      [10, 98],
      [20, 1],
    ],
    [[5000, 1]],
  ])
  t.equal(percentile(histogram, 0.5), 10)
  t.equal(percentile(histogram, 0.99), 20)
  t.equal(percentile(histogram, 0.999), 5000)
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  t.equal(median([]), undefined)
})

test('the guard complains of what has grown beyond the margin, and of counts that nobody kept', async (t) => {
  const kept = { margin: 1.1, counts: { calls: 4, bytes: 1000 } }
  t.same(worsened(kept, { calls: 4.3, bytes: 900 }), [])
  t.match(worsened(kept, { calls: 4.5, bytes: 1000 }), [/^calls: 4.50/])
  t.match(worsened(kept, { calls: 4 }), [/^bytes: 1000 kept, undefined counted/])
})

test('strace and the collector are read as they speak', async (t) => {
  const calls = callsIn(
    [
      '% time     seconds  usecs/call     calls    errors syscall',
      ' 62.10    0.080000           2     40001           write',
      ' 30.00    0.040000           1     40100        12 read',
      '100.00    0.120000           1     80101        12 total',
    ].join('\n'),
  )
  t.same(Object.fromEntries(calls), { write: 40001, read: 40100 })
  const { bytes, collections } = allocatedIn(
    '[1:0x1]  10 ms: Scavenge 10.0 (20.0) -> 4.0 (21.0) MB, 1 / 0 ms\n' +
      '[1:0x1]  20 ms: Scavenge 12.0 (21.0) -> 5.0 (21.0) MB, 1 / 0 ms\n',
  )
  t.equal(bytes, 8 << 20)
  t.equal(collections, 2)
})

test('a target is judged against the contender it names, with what direct costs taken off where it says so', async (t) => {
  const result = (workload: string, p50: Record<string, number>) =>
    ({
      workload,
      contenders: Object.entries(p50).map(([name, value]) => ({ name, runs: [{ p50: value }] })),
    }) as unknown as Parameters<typeof judgements>[0][number]
  const judged = judgements([
    result('attach-echo-1', { direct: 10, berth: 25, 'c-relay': 20 }),
  ]).map(({ what, measured, holds }) => [what, measured, holds])
  t.same(judged, [
    ['added p50', '1.50 x', true],
    ['total p50', '1.25 x', true],
  ])
})
