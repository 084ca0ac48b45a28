/** The bench itself: does it count right, notice what is wrong, and run from end to end? */

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Session,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Test, test } from 'tap'
import { makeCertificate } from '../../bench/certificate.ts'
import { pausesIn } from '../../bench/collections.ts'
import { CONTENDERS, type Contender, takesPart } from '../../bench/contender.ts'
import { microSecondsOf, secondsOf } from '../../bench/estimate.ts'
import { drowned, type Figures, median, merged, percentile } from '../../bench/figures.ts'
import { allocatedIn, callsIn, worsened } from '../../bench/guard.ts'
import { interleaved, load, measure, type Standing, standing } from '../../bench/measure.ts'
import { MICRO } from '../../bench/micro.ts'
import { Program } from '../../bench/process.ts'
import { partsIn } from '../../bench/profile.ts'
import { cellsOf } from '../../bench/table.ts'
import { judgements, unjudged } from '../../bench/targets.ts'
import {
  SCALES,
  scaledFor,
  WORKLOADS,
  type Workload,
  workloadsNamed,
} from '../../bench/workload.ts'

const contender = (name: string): Contender => {
  const found = CONTENDERS.find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`no contender ${name}`)
  return found
}

const STEADY = WORKLOADS.filter(({ atHalfLoad }) => atHalfLoad === undefined)
const named = (name: string): Workload => {
  const [workload] = workloadsNamed([name])
  if (workload === undefined) throw new Error(`no workload ${name}`)
  return workload
}

/** Runs a workload as briefly as can be, and says whether all went well. */
const tried = async (t: Test, who: string, workload: Workload): Promise<Figures> => {
  const { figures } = await measure(contender(who), workload, SCALES.smoke)
  const what = `${workload.name}, ${who}`
  t.equal(figures.errors, 0, what)
  const rate = figures.perSecond ?? figures.gbPerSecond ?? Number.POSITIVE_INFINITY
  t.ok(rate > 0, `${what}: moved something`)
  t.ok(figures.rssMb > 0.1, `${what}: saw the process`)
  return figures
}

test('every workload runs through a relay and is answered without an error', async (t) => {
  const relayed = STEADY.filter((workload) => takesPart(contender('c-relay'), workload, false))
  t.ok(relayed.length > 20)
  for (const workload of relayed) await tried(t, 'c-relay', workload)
})

test('what no relay can do runs through berth: TLS, judged calls and workers', async (t) => {
  const others = STEADY.filter((workload) => !takesPart(contender('c-relay'), workload, false))
  const judged = ['grpc-echo', 'grpc-down', 'grpc-up', 'h2c-echo'].map(named)
  for (const workload of [...others, ...judged]) await tried(t, 'berth', workload)
  for (const name of ['grpc-up', 'h2c-down']) await tried(t, 'berth-open', named(name))
  const { fewestPercent = 0 } = await tried(t, 'berth-2', named('workers'))
  t.ok(fewestPercent > 0, 'both workers have connections')
})

test('TLS is measured for those whose certificate can be checked, and for nobody else', async (t) => {
  const tls = named('tls-get-32')
  await standing(contender('berth'), tls, async (place) => {
    const folder = mkdtempSync(join(tmpdir(), 'berth-bench-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const another = { ...place, tls: makeCertificate(folder) }
    const failure = await load(another, tls, SCALES.smoke).catch((error) => error)
    t.match(failure.stderr, /request not taken/)
  })
})

/** An HTTP/2 server of Node's on a port of its own, which gives back what `answer` makes of each piece. */
const http2Server = async (t: Test, answer: (bytes: Buffer) => Buffer): Promise<number> => {
  const sessions = new Set<ServerHttp2Session>()
  const server = createHttp2Server().on('session', (session) => sessions.add(session))
  server.on('stream', (stream) => {
    stream.on('error', () => {})
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
    stream.on('data', (bytes: Buffer) => stream.write(answer(bytes)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** What stands at `port`, where it was not started here; its processes are of no interest. */
const standingAt = async (t: Test, port: number): Promise<Standing> => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  const nobody = await Program.start({ file: 'sleep', args: ['60'] }, async () => true)
  t.teardown(async () => {
    await nobody.stop()
    rmSync(folder, { recursive: true })
  })
  return { port, folder, contender: nobody, engine: nobody, isJit: false, tls: undefined }
}

test('an echo counts when it is the message that was sent, and not before', async (t) => {
  const echo = named('h2c-echo')
  const faithful = await standingAt(t, await http2Server(t, (bytes) => bytes))
  const { requests } = await load(faithful, echo, SCALES.smoke)
  t.ok(requests > 0)
  let first: Buffer | undefined
  const stale = await http2Server(t, (bytes) => {
    first ??= Buffer.from(bytes)
    return first
  })
  const place = await standingAt(t, stale)
  const failure = await load(place, echo, SCALES.smoke).catch((error) => error)
  t.match(failure.stderr, /another message came back/)
})

test('messages that were lost or changed on their way up fail a run', async (t) => {
  const empty = Buffer.from([0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0])
  const port = await new Promise<number>((resolve) => {
    const server = createHttp2Server()
    server.on('stream', (stream) => {
      stream.on('error', () => {})
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
      stream.resume().on('end', () => stream.end(empty))
    })
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
    t.teardown(() => server.close())
  })
  const place = await standingAt(t, port)
  const failure = await load(place, named('h2c-up'), SCALES.smoke).catch((error) => error)
  t.match(failure.stderr, /without all of its bytes/)
})

test('the engine of the bench understands what node:http2 sends, long header blocks included', async (t) => {
  await standing(contender('direct'), { placement: 'apart' }, async ({ port }) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`)
    const long = Object.fromEntries(
      Array.from({ length: 30 }, (_, i) => [`x-field-${i}`, '~'.repeat(1000)]),
    )
    // the second block refers to the table that the first one has filled
    for (const fields of [long, long]) {
      const call = session.request({ ':method': 'POST', ':path': '/a.B/C', ...fields })
      const [headers] = await once(call.end('\0\0\0\0\x05hello'), 'response')
      t.equal(headers[':status'], 200)
      const ended = once(call, 'trailers')
      t.equal((await text(call)).slice(5), 'hello')
      t.equal((await ended)[0]['grpc-status'], '0')
    }
    session.close()
    await once(session, 'close')
  })
})

test('a run of everything takes less than a quarter of an hour by its own reckoning', async (t) => {
  const seconds = WORKLOADS.map((workload) => {
    const field = CONTENDERS.filter((candidate) => takesPart(candidate, workload, true))
    return secondsOf(workload, SCALES.full, workload.rounds, field)
  })
  const all = seconds.reduce((sum, one) => sum + one, microSecondsOf(Object.keys(MICRO).length, 3))
  t.ok(all < 15 * 60, `${Math.round(all)} s`)
})

test('a fixed rate is not exceeded, and its requests are counted', async (t) => {
  const workload = named('get-32-half')
  const { histogram } = await measure(contender('direct'), workload, SCALES.smoke, 2000)
  const counted = histogram.reduce((sum, [, count]) => sum + count, 0)
  const { seconds } = scaledFor(workload, SCALES.smoke, {})
  // how many come through is up to the machine; that it is not more than was asked for is up to the harness
  t.ok(counted > 0 && counted < 2000 * seconds + 60, `${counted} requests`)
})

test('who drowns in a fixed rate is not asked again, and who only falls behind is', (t) => {
  const at = (perSecond: number) => ({ perSecond }) as Figures
  t.equal(drowned(at(7400), 10_000), 'it does 7400 of 10000 requests/s')
  t.equal(drowned(at(7600), 10_000), undefined)
  t.equal(drowned(at(1), undefined), undefined, 'no rate is too high where there is none')
  t.end()
})

test('wrong answers fail a run', async (t) => {
  const server = createServer((_, answer) => answer.end('too short')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const place = await standingAt(t, (server.address() as AddressInfo).port)
  const failure = await load(place, named('get-1'), SCALES.smoke).catch((error) => error)
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

test('a target is judged for whom it is meant, and said to be open where somebody is missing', async (t) => {
  const result = (workload: string, cores: number, runs: Record<string, object>) =>
    ({
      workload,
      machine: { cores },
      contenders: Object.entries(runs).map(([name, run]) => ({ name, runs: [run] })),
    }) as unknown as Parameters<typeof judgements>[0][number]
  const calls = { 'berth-open': 10, berth: 30, 'c-relay': 8 }
  const results = [
    result(
      'grpc-echo',
      2,
      Object.fromEntries(
        Object.entries(calls).map(([name, us]) => [name, { cpuUsPerRequest: us }]),
      ),
    ),
    result('workers', 2, {
      berth: { cpuUsPerRequest: 20, perSecond: 100 },
      'berth-2': { cpuUsPerRequest: 21, perSecond: 150, fewestPercent: 39 },
    }),
  ]
  t.same(
    judgements(results).map(({ what, target, holds }) => `${what} ${target}: ${holds}`),
    [
      'CPU a message, spliced <= 1 x c-relay: false',
      'CPU a message, judged <= 4 x c-relay: true',
      'CPU a request with two workers <= 1.1 x berth: true',
      'connections of the worker with fewer, % >= 40: false',
    ],
  )
  const open = unjudged(results)
  t.ok(open.includes('`grpc-echo`, CPU a message, spliced <= 1 x node-splice'))
  t.ok(open.includes('`workers`, requests a second with two workers >= 1.8 x berth'))
  t.notOk(open.some((line) => line.includes('<= 1 x c-relay')))
})

test('a contender that fails on the way is shown with what it failed of, however many runs it ended', (t) => {
  const contender = (name: string, runs: object[], failure?: string) => ({ name, runs, failure })
  const result = {
    contenders: [
      contender('berth', [{ cpuUsPerRequest: 2 }, { cpuUsPerRequest: 4 }]),
      contender('late', [{ cpuUsPerRequest: 3 }], 'no end'),
      contender('never', [], 'no start'),
    ],
  } as unknown as Parameters<typeof cellsOf>[0]
  t.same(cellsOf(result), [
    ['', 'CPU us/request', 'min-max'],
    ['berth', '3.0', '2.0-4.0'],
    ['late (stopped after 1 of its runs: no end)', '3.0', '3.0-3.0'],
    ['never', 'failed: no start'],
  ])
  t.end()
})

test('samples are shared out by whose code they fell into', async (t) => {
  const report = [
    '# Overhead  Symbol',
    '    50.00%  [k] tcp_sendmsg',
    '    10.00%  [.] JS:*relay file:///berth/dist/src/relay/relay.js:1:1',
    '    10.00%  [.] JS:*onStreamRead node:internal/stream_base_commons:168:22',
    '     5.00%  [.] Builtins_LoadIC',
    '     2.50%  [.] v8::internal::Scavenger::Process',
    '     2.50%  [.] node::StreamBase::WriteBuffer(v8::FunctionCallbackInfo<v8::Value> const&)',
    '',
  ].join('\n')
  const parts = partsIn(report)
  t.equal(Math.round(parts.kernel), 63, 'of what was listed')
  t.equal(Math.round(parts['own JavaScript']), 13)
  t.equal(Math.round(parts["node's JavaScript"]), 13)
  t.equal(parts['V8, compiled'], 6.25)
  t.equal(parts['node and libuv'], 3.125)
  t.equal(parts.V8, 3.125)
  t.equal(parts['rest of the program'], 0)
})

test("V8's trace is read as the pauses of the young's collections", async (t) => {
  const said = [
    'listening on tcp://127.0.0.1:2375',
    '[1:0x1] 193 ms: Mark-Compact 12.9 (17.4) -> 9.8 (19.1) MB, 3.54 / 0.11 ms  (average mu = 1.000)',
    '[1:0x1] 1191 ms: Scavenge 15.5 (27.1) -> 14.9 (27.1) MB, 0.66 / 0.00 ms  (average mu = 1.000)',
    // Node 24
    '[1:0x1] 1697 ms: Scavenge 51.5 (53.6) -> 50.5 (53.6) MB, pooled: 16 MB, 0.12 / 0.00 ms  (average)',
    '',
  ].join('\n')
  t.same(pausesIn(said), [0.66, 0.12])
})
