/** `npm run bench:profile [NAME...]`: where the CPU time of a request goes, by sampling; what a target is missed by. */
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { type Collections, collectionsOf } from './collections.ts'
import { type Contender, presentOf, takesPart, withNodeFlags } from './contender.ts'
import { figuresOf } from './figures.ts'
import { load, standing } from './measure.ts'
import { RESULTS } from './places.ts'
import { Program } from './process.ts'
import { type Machine, type Result, readResults, thisMachine, writeResult } from './results.ts'
import { comparedIn } from './targets.ts'
import { SCALES, streamsOf, type Workload, workloadsNamed } from './workload.ts'

/** One contender under one workload. */
export interface Profile {
  readonly workload: string
  readonly contender: string
  /** A request, a message or a MB; with the sampling, which makes it dearer. */
  readonly cpuUs: number
  /** Of the samples, by part; they add up to 100. */
  readonly percent: Readonly<Record<Part, number>>
}

export interface ProfileResults {
  readonly workload: 'profile'
  readonly date: string
  readonly command: string
  readonly machine: Machine
  readonly profiles: readonly Profile[]
  /** Of workloads at half load, at the rates of their newest results. */
  readonly collections: readonly Collections[]
}

/** Whose code it is, by the symbol; the first that fits. Of a contender without an interpreter all but the kernel is the rest. */
const PARTS = {
  kernel: /^\[k\]/,
  'own JavaScript': /^\[\.\] (?:JS|Script|Function):.*\/dist\//,
  "node's JavaScript": /^\[\.\] (?:JS|Script|Function):/,
  'V8, compiled': /^\[\.\] (?:Builtins_|RegExp:)/,
  'node and libuv': /^\[\.\] (?:\S+ )*?(?:node::|uv_)/,
  V8: /^\[\.\] .*v8::/,
  'rest of the program': /./,
} as const satisfies Record<string, RegExp>
export type Part = keyof typeof PARTS
export const PART_NAMES = Object.keys(PARTS) as Part[]

/** `perf report --sort symbol` -> the share of each part. */
export const partsIn = (report: string): Record<Part, number> => {
  const shares = Object.fromEntries(PART_NAMES.map((name) => [name, 0])) as Record<Part, number>
  for (const [, percent, symbol] of report.matchAll(/^ +([\d.]+)% +(\[[.k]\] .*)$/gm)) {
    const part = PART_NAMES.find((name) => PARTS[name].test(symbol ?? ''))
    if (part !== undefined) shares[part] += Number(percent)
  }
  const sum = Object.values(shares).reduce((total, share) => total + share, 0)
  for (const name of PART_NAMES) shares[name] = (100 * shares[name]) / (sum || 1)
  return shares
}

/** Samples a second: few enough to cost little, and no multiple of the kernel's tick. */
const FREQUENCY = '1999'
/** A second a GB is so many microseconds a MB. */
const US_A_MB = 1000
const run = promisify(execFile)

/** V8 says which of its code is which function, in a file that perf looks for, and not in a log of its own beside it. */
const NAMED = ['--perf-basic-prof', '--no-logfile-per-isolate', '--logfile=/dev/null']

const profile = (contender: Contender, workload: Workload): Promise<Profile> =>
  standing(withNodeFlags(contender, ...NAMED), workload, async (place) => {
    const samples = join(place.folder, 'samples')
    const { pids } = place.contender
    await load(place, workload, SCALES.quick) // connections open, code compiled
    const sampler = await Program.start(
      {
        file: 'perf',
        args: [
          ...['record', '--quiet', '--event', 'cpu-clock', '--freq', FREQUENCY],
          ...['--output', samples, '--pid', pids.join(',')],
        ],
      },
      async () => true,
    )
    try {
      const report = await load(place, workload, SCALES.named)
      await sampler.interrupt()
      const { stdout } = await run(
        'perf',
        ['report', '--input', samples, '--no-children', '--sort', 'symbol', '--stdio'],
        { maxBuffer: 64 << 20 },
      )
      const { cpuUsPerRequest, cpuSecondsPerGb = Number.NaN } = figuresOf(
        report,
        workload.unit,
        streamsOf(workload, SCALES.named),
      )
      return {
        workload: workload.name,
        contender: contender.name,
        cpuUs: cpuUsPerRequest ?? cpuSecondsPerGb * US_A_MB,
        percent: partsIn(stdout),
      }
    } finally {
      await sampler.stop()
      for (const pid of pids) rmSync(`/tmp/perf-${pid}.map`, { force: true })
    }
  })

/** One for each kind of work that a target hangs on. */
const DEFAULT_NAMES = [
  'get-1',
  'get-32',
  'bulk-down-length',
  'bulk-down-chunked',
  'attach-echo-1',
  'grpc-echo',
  'workers',
]

const lineOf = ({ workload, contender, cpuUs, percent }: Profile): string =>
  [
    `${workload} ${contender}: ${cpuUs.toFixed(1)} us`,
    ...PART_NAMES.map((name) => `${name} ${((percent[name] * cpuUs) / 100).toFixed(2)}`),
  ].join(', ')

const collectionsAtHalfLoad = async (): Promise<Collections[]> => {
  const results = readResults(RESULTS) as Partial<Result>[]
  const taken: Collections[] = []
  for (const workload of workloadsNamed([]).filter(({ atHalfLoad }) => atHalfLoad)) {
    const rate = results.find((result) => result.workload === workload.name)?.rate
    if (rate !== undefined) taken.push(await collectionsOf(workload, rate))
  }
  return taken
}

const main = async (): Promise<void> => {
  const { positionals } = parseArgs({ allowPositionals: true })
  const names = positionals.length > 0 ? positionals : DEFAULT_NAMES
  const profiles: Profile[] = []
  for (const workload of workloadsNamed(names)) {
    const present = presentOf(comparedIn(workload.name), (name, why) => {
      process.stderr.write(`missing: ${name}: ${why}\n`)
    })
    for (const { contender } of present.filter((one) =>
      takesPart(one.contender, workload, false),
    )) {
      const taken = await profile(contender, workload)
      profiles.push(taken)
      process.stdout.write(`${lineOf(taken)}\n`)
    }
  }
  const collections = positionals.length > 0 ? [] : await collectionsAtHalfLoad()
  for (const { workload, perSecond, pauseMs } of collections)
    process.stdout.write(
      `${workload} berth: ${perSecond.toFixed(0)} collections a second, ${pauseMs} ms each\n`,
    )
  const results: ProfileResults = {
    workload: 'profile',
    date: new Date().toISOString(),
    command: [
      'npm run bench:profile',
      ...(positionals.length > 0 ? ['--', ...positionals] : []),
    ].join(' '),
    machine: thisMachine(),
    profiles,
    collections,
  }
  writeResult(RESULTS, results)
}

if (process.argv[1]?.endsWith('profile.js')) await main()
