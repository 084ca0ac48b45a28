/** `npm run bench [-- NAME...]`: measures the contenders on the workloads and keeps every raw value. */
import { parseArgs } from 'node:util'
import { tlsIsMissing } from './certificate.ts'
import { CONTENDERS, CORE, type Present, presentOf, takesPart } from './contender.ts'
import { microSecondsOf, secondsOf } from './estimate.ts'
import { drowned, type Figures, type Histogram, median, merged } from './figures.ts'
import { interleaved, measure } from './measure.ts'
import { MICRO, type MicroName, measureMicro } from './micro.ts'
import { QUICK_RESULTS, RESULTS } from './places.ts'
import { placementHere } from './process.ts'
import { type ContenderResult, type Result, thisMachine, writeResult } from './results.ts'
import { tableOf } from './table.ts'
import {
  CALIBRATIONS,
  SCALES,
  type Scale,
  scaledFor,
  streamsOf,
  WORKLOADS,
  type Workload,
  workloadsNamed,
} from './workload.ts'

const USAGE = `bench [NAME...] [--quick] [--rounds N] [--contenders NAME,NAME]

NAME is the beginning of a workload's name, or "micro"; a named workload runs longer than in a full run.
Workloads: ${WORKLOADS.map(({ name }) => name).join(', ')}
Contenders: ${CONTENDERS.map(({ name }) => name).join(', ')}`

/** And those who are there for the workloads that name them. */
const QUICK: ReadonlySet<string> = new Set([
  ...CORE,
  ...CONTENDERS.filter(({ isNamedOnly }) => isNamedOnly).map(({ name }) => name),
])
const MICRO_ROUNDS = 3
const QUICK_ROUNDS = 3

interface Plan {
  /** Everything there is, and not what was named. */
  readonly isAll: boolean
  readonly scale: Scale
  readonly rounds: number | undefined
  readonly present: readonly Present[]
  readonly missing: readonly string[]
  readonly folder: string
  readonly command: string
}

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

/** Half of what the slower of the two can do now: a load that both carry, so that their tails can be compared. */
const halfLoad = async (plan: Plan): Promise<number> => {
  const saturating = WORKLOADS.find(({ name }) => name === 'get-32')
  const yardsticks = plan.present.filter(({ contender }) =>
    ['berth', 'haproxy'].includes(contender.name),
  )
  if (saturating === undefined || yardsticks.length === 0)
    throw new Error('nothing to calibrate by')
  const seen = yardsticks.map(({ contender }) => ({ contender, rates: [] as number[] }))
  await interleaved(seen, CALIBRATIONS, async ({ contender, rates }) => {
    const { figures } = await measure(contender, saturating, plan.scale)
    rates.push(figures.perSecond ?? 0)
  })
  return Math.min(...seen.map(({ rates }) => median(rates) ?? 0)) / 2
}

interface Collected {
  readonly present: Present
  readonly runs: Figures[]
  readonly histograms: Histogram[]
  /** Why it is not measured any more. */
  failure: string | undefined
}

const runOnce = async (
  entry: Collected,
  workload: Workload,
  scale: Scale,
  rate: number | undefined,
): Promise<void> => {
  if (entry.failure !== undefined) return
  try {
    const { figures, histogram } = await measure(entry.present.contender, workload, scale, rate)
    entry.runs.push(figures)
    entry.histograms.push(histogram)
    entry.failure = drowned(figures, rate)
  } catch (error) {
    // A contender that fails is reported, not hidden, and does not end the run
    const { stderr, message } = error as { stderr?: string; message: string }
    entry.failure = (stderr?.trim() || message).split('\n')[0] ?? message
  }
}

const resultOf = ({ present, runs, histograms, failure }: Collected): ContenderResult => ({
  name: present.contender.name,
  what: present.contender.what,
  version: present.version,
  runs,
  histogram: merged(histograms),
  ...(failure !== undefined && { failure }),
})

const fieldOf = (workload: Workload, { present, isAll }: Plan): Present[] =>
  present.filter(({ contender }) => takesPart(contender, workload, isAll))

/** A workload that was asked for by name has five rounds at least. */
const NAMED_ROUNDS = 5

const roundsOf = ({ rounds }: Workload, plan: Plan): number =>
  plan.rounds ?? (plan.isAll ? rounds : Math.max(NAMED_ROUNDS, rounds))

const runWorkload = async (workload: Workload, plan: Plan): Promise<void> => {
  const started = performance.now()
  const { scale } = plan
  const rate = workload.atHalfLoad ? await halfLoad(plan) : undefined
  const entries: Collected[] = fieldOf(workload, plan).map((present) => ({
    present,
    runs: [],
    histograms: [],
    failure: undefined,
  }))
  await interleaved(entries, roundsOf(workload, plan), (entry) =>
    runOnce(entry, workload, scale, rate),
  )
  const result: Result = {
    workload: workload.name,
    title: workload.title,
    date: new Date().toISOString(),
    command: plan.command,
    machine: thisMachine(),
    seconds: scaledFor(workload, scale, {}).seconds,
    ...(workload.requests !== undefined && { requests: workload.requests }),
    placement: placementHere(workload.placement),
    ...(rate !== undefined && { rate: Math.round(rate) }),
    ...(workload.unit === 'stream' && { streams: streamsOf(workload, scale) }),
    ...(workload.unit === 'GB' && { gb: scale.bulkBytes / (workload.share ?? 1) / 1e9 }),
    contenders: entries.map(resultOf),
    missing: plan.missing,
  }
  writeResult(plan.folder, result)
  const took = ((performance.now() - started) / 1000).toFixed(0)
  say(`\n${workload.title} (${workload.name}, ${took} s)\n${tableOf(result)}`)
}

const runMicro = async (plan: Plan): Promise<void> => {
  const names = Object.keys(MICRO) as MicroName[]
  const runs = new Map(names.map((name) => [name, [] as { nanoseconds: number; bytes: number }[]]))
  await interleaved(names, MICRO_ROUNDS, async (name) => {
    runs.get(name)?.push(await measureMicro(name))
  })
  const micro = names.map((name) => ({ name, what: MICRO[name], runs: runs.get(name) ?? [] }))
  const facts = { date: new Date().toISOString(), command: plan.command, machine: thisMachine() }
  writeResult(plan.folder, { workload: 'micro', ...facts, micro } as { workload: string })
  say('\nmicro')
  for (const { what, runs: figures } of micro) {
    const ns = median(figures.map(({ nanoseconds }) => nanoseconds))
    const bytes = median(figures.map((run) => run.bytes))
    say(`  ${what.padEnd(52)} ${ns?.toFixed(0).padStart(8)} ns ${bytes?.toFixed(0).padStart(8)} B`)
  }
}

const planOf = (
  names: readonly string[],
  quick: boolean,
  rounds: number | undefined,
  contenders: ReadonlySet<string> | undefined,
): Plan => {
  const missing: string[] = []
  const wanted = contenders ?? (quick ? QUICK : undefined)
  const present = presentOf(wanted, (name, why) => {
    missing.push(name)
    say(`${name} is missing (bench/install installs it): ${why}`)
  })
  const words = ['npm run', quick ? 'bench:quick' : 'bench', ...(names.length > 0 ? ['--'] : [])]
  const plain = names.length > 0 ? SCALES.named : SCALES.full
  return {
    isAll: names.length === 0,
    scale: quick ? SCALES.quick : plain,
    rounds: rounds ?? (quick ? QUICK_ROUNDS : undefined),
    present,
    missing,
    folder: quick ? QUICK_RESULTS : RESULTS,
    command: [...words, ...names].join(' '),
  }
}

/** Those that this machine can run; each other one is said to be missing. */
const runnable = (workloads: readonly Workload[]): Workload[] => {
  const why = workloads.some(({ listener }) => listener === 'tls') ? tlsIsMissing() : undefined
  if (why === undefined) return [...workloads]
  return workloads.filter(({ name, listener }) => {
    if (listener === 'tls') say(`${name} is missing (bench/install installs what it needs): ${why}`)
    return listener !== 'tls'
  })
}

const sayEstimate = (workloads: readonly Workload[], hasMicro: boolean, plan: Plan): void => {
  const seconds = workloads.reduce(
    (sum, workload) =>
      sum +
      secondsOf(
        workload,
        plan.scale,
        roundsOf(workload, plan),
        fieldOf(workload, plan).map(({ contender }) => contender),
      ),
    hasMicro ? microSecondsOf(Object.keys(MICRO).length, MICRO_ROUNDS) : 0,
  )
  say(`${workloads.length} workloads, about ${Math.ceil(seconds / 60)} min`)
}

const main = async (): Promise<void> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      contenders: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return say(USAGE)
  const names = positionals.filter((name) => name !== 'micro')
  const plan = planOf(
    positionals,
    values.quick,
    values.rounds === undefined ? undefined : Number(values.rounds),
    values.contenders === undefined ? undefined : new Set(values.contenders.split(',')),
  )
  const { isAll } = plan
  const named = !isAll && names.length === 0 ? [] : workloadsNamed(names)
  const chosen = runnable(named.filter(({ isQuick }) => !isAll || !values.quick || isQuick))
  const hasMicro = isAll ? !values.quick : positionals.includes('micro')
  sayEstimate(chosen, hasMicro, plan)
  const started = performance.now()
  for (const workload of chosen) await runWorkload(workload, plan)
  if (hasMicro) await runMicro(plan)
  say(`\n${((performance.now() - started) / 1000).toFixed(0)} s; results in ${plan.folder}`)
}

await main()
