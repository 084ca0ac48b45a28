/** `npm run bench:guard [-- --keep]`: counts system calls and allocated bytes a request, and fails when they have grown. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { berthIn, type Contender, withNodeFlags } from './contender.ts'
import { load, type Standing, standing } from './measure.ts'
import { ROOT, SOURCES } from './places.ts'
import { Program } from './process.ts'
import { SCALES, WORKLOADS, type Workload } from './workload.ts'

/** What is counted; all of it a request (or a GB), none of it a time, so that a busy machine changes little. */
export type Counts = Readonly<Record<string, number>>

export interface Kept {
  /** By how much a count may grow: 1.1 is ten percent. */
  readonly margin: number
  readonly counts: Counts
}

/** Counts that have outgrown the kept ones, as sentences; a count that is not kept yet, or no longer taken, is one too. */
export const worsened = (kept: Kept, counted: Counts): string[] => {
  const names = new Set([...Object.keys(kept.counts), ...Object.keys(counted)])
  return [...names].flatMap((name) => {
    const [before, now] = [kept.counts[name], counted[name]]
    if (before === undefined || now === undefined)
      return [`${name}: ${before} kept, ${now} counted`]
    if (now <= before * kept.margin) return []
    return [`${name}: ${now.toFixed(2)}, more than ${kept.margin} x the ${before.toFixed(2)} kept`]
  })
}

/** The calls that move bytes: their number follows from the code. How often epoll is asked follows from timing as well. */
const MOVES = /^(?:read|readv|recvfrom|recvmsg|write|writev|sendto|sendmsg)$/

/** `strace -c` output -> calls by name. */
export const callsIn = (output: string): Map<string, number> =>
  new Map(
    output.split('\n').flatMap((row) => {
      const [, calls, , name] =
        /^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(\d+ +)?([a-z_0-9]+)$/.exec(row) ?? []
      return name === undefined || name === 'total' ? [] : [[name, Number(calls)] as const]
    }),
  )

/** `--trace-gc` output -> bytes allocated between its first and last line: what each collection found beyond what the one before left. */
export const allocatedIn = (output: string): { bytes: number; collections: number } => {
  const rows = [...output.matchAll(/ ([\d.]+) \([\d.]+\) -> ([\d.]+) \([\d.]+\) MB/g)]
  let bytes = 0
  for (let i = 1; i < rows.length; i++)
    bytes += (Number(rows[i]?.[1]) - Number(rows[i - 1]?.[2])) * (1 << 20)
  return { bytes, collections: rows.length }
}

const REQUESTS = 20_000
const workloadOf = (name: string): Workload => {
  const found = WORKLOADS.find((workload) => workload.name === name)
  if (found === undefined) throw new Error(`no workload ${name}`)
  return found
}

const ask = (place: Standing, workload: Workload, count: number) =>
  load(place, workload, SCALES.quick, ['--count', String(count)])

/** Calls by name while `work` runs. */
const straced = async (pid: number, work: () => Promise<unknown>): Promise<Map<string, number>> => {
  const tracer = await Program.start(
    { file: 'strace', args: ['-c', '-f', '-q', '-p', String(pid)] },
    async () => isTraced(pid),
  )
  try {
    await work()
    await tracer.interrupt()
    return callsIn(tracer.said)
  } finally {
    await tracer.stop()
  }
}

const isTraced = (pid: number): boolean =>
  !/^TracerPid:\t0$/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))

const countCalls = (contender: Contender, workload: Workload): Promise<Counts> =>
  standing(contender, workload, async (place) => {
    await ask(place, workload, REQUESTS / 4) // connections open, code compiled
    const [pid] = place.contender.pids
    if (pid === undefined) throw new Error('berth has no process')
    // The load's own warm-up is not counted in its figure, but strace sees it: so there is none
    const calls = await straced(pid, () =>
      load(place, workload, SCALES.quick, ['--count', String(REQUESTS), '--warmup', '0']),
    )
    const sum = (names: (name: string) => boolean) =>
      [...calls].reduce((total, [name, count]) => total + (names(name) ? count : 0), 0)
    return {
      [`${workload.name}: reads and writes a request`]: sum((name) => MOVES.test(name)) / REQUESTS,
      [`${workload.name}: system calls a request`]: sum(() => true) / REQUESTS,
    }
  })

/** Enough for some dozens of collections of the nursery. */
const ALLOCATING_REQUESTS = 150_000

const countBytes = async (contender: Contender, workload: Workload): Promise<Counts> =>
  standing(contender, workload, async (place) => {
    await ask(place, workload, REQUESTS)
    const before = place.contender.said.length
    await load(place, workload, SCALES.quick, [
      ...['--count', String(ALLOCATING_REQUESTS), '--warmup', '0'],
    ])
    await sleep(100)
    const { bytes, collections } = allocatedIn(place.contender.said.slice(before))
    if (collections < 10) throw new Error(`only ${collections} collections: too few to count by`)
    // Between the first and the last collection lie all but about one nursery's worth of requests
    return {
      [`${workload.name}: heap bytes a request`]:
        (bytes / ALLOCATING_REQUESTS) * (collections / (collections - 1)),
    }
  })

/** V8 tells of each collection; with a nursery of 1 MB there are many to count by. */
const COUNTING = ['--trace-gc', '--max-semi-space-size=1'] as const

const KEPT_FILE = join(SOURCES, 'guard.json')

const main = async (): Promise<void> => {
  const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })
  const berth = berthIn(ROOT)
  const small = workloadOf('get-32')
  const counted: Counts = {
    ...(await countCalls(berth, small)),
    ...(await countBytes(withNodeFlags(berth, ...COUNTING), small)),
  }
  for (const [name, count] of Object.entries(counted))
    process.stdout.write(`${name}: ${count.toFixed(2)}\n`)
  const kept = JSON.parse(readFileSync(KEPT_FILE, 'utf8')) as Kept
  if (values.keep) {
    writeFileSync(KEPT_FILE, `${JSON.stringify({ ...kept, counts: counted }, undefined, 2)}\n`)
    return
  }
  const complaints = worsened(kept, counted)
  for (const complaint of complaints) process.stderr.write(`worse: ${complaint}\n`)
  if (complaints.length > 0) process.exitCode = 1
}

if (process.argv[1]?.endsWith('guard.js')) await main()
