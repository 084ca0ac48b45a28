/** `npm run bench:report`: bench/results -> bench/RESULTS.md and its plots, which are never written by hand. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type FigureName, median, medianOf, percentile } from './figures.ts'
import type { MicroFigures } from './micro/time.ts'
import { RESULTS, SOURCES } from './places.ts'
import { bars, curves, SHARES } from './plot.ts'
import type { Placement } from './process.ts'
import { PART_NAMES, type Part, type Profile, type ProfileResults } from './profile.ts'
import { type Machine, type Result, readResults } from './results.ts'
import { cellsOf, leadingFigure } from './table.ts'
import { figureOf, judgements, unjudged } from './targets.ts'
import { WORKLOADS } from './workload.ts'

interface MicroResults {
  readonly workload: 'micro'
  readonly date: string
  readonly command: string
  readonly machine: Machine
  readonly micro: readonly { what: string; runs: readonly MicroFigures[] }[]
}

const PLOTS = join(SOURCES, 'plots')

const UNIT_OF: Partial<Record<FigureName, string>> = {
  cpuUsPerRequest: 'CPU microseconds a request',
  cpuSecondsPerGb: 'CPU seconds a GB',
  kbPerStream: 'KB of RSS a stream',
}

/** The workloads whose latency is drawn: where no queue of the client's own making is in it. */
const CURVES = new Set([
  'get-1',
  'get-32-half',
  'attach-echo-1',
  'logs-first',
  'grpc-echo',
  'h2c-echo',
])

const markdown = ([header = [], ...rows]: string[][]): string => {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  const filled = rows.map((row) => [...row, ...Array(header.length - row.length).fill('')])
  return [
    line(header),
    line(header.map((_, i) => (i === 0 ? '---' : '---:'))),
    ...filled.map(line),
  ].join('\n')
}

const barsOf = (result: Result, figure: FigureName): string =>
  bars(
    result.title,
    UNIT_OF[figure] ?? figure,
    result.contenders.flatMap(({ name, runs }) => {
      const value = medianOf(runs, figure)
      const all = runs.flatMap((run) => run[figure] ?? [])
      return value === undefined
        ? []
        : [{ name, value, range: [Math.min(...all), Math.max(...all)] as const }]
    }),
  )

const curvesOf = (result: Result): string =>
  curves(
    `${result.title}: latency by percentile`,
    result.contenders
      .filter(({ histogram }) => histogram.length > 0)
      .map(({ name, histogram }) => ({
        name,
        points: SHARES.map((share) => [share, percentile(histogram, share) / 1000] as const),
      })),
  )

/** Writes a plot and returns the line that shows it. */
const plot = (name: string, title: string, text: string): string => {
  writeFileSync(join(PLOTS, `${name}.svg`), text)
  return `![${title}](plots/${name}.svg)`
}

const PLACES: Readonly<Record<Placement, string>> = {
  apart: 'the contender on a core of its own',
  together: 'contender, client and engine together on one core',
  free: 'everybody where the kernel puts them',
  undisturbed:
    'the contender on a core of its own, ahead of whatever else the machine runs (`chrt --rr`)',
}

const factsOf = ({
  rate,
  streams,
  gb,
  seconds,
  requests,
  placement,
  contenders,
}: Result): string => {
  const length = requests === undefined ? `${seconds} s` : `${requests} requests`
  const amount = gb === undefined ? length : `${gb.toFixed(2)} GB`
  const rounds = Math.max(...contenders.map(({ runs }) => runs.length))
  return [
    streams === undefined ? `${amount} a run` : `${streams} streams`,
    `${rounds} rounds`,
    ...(rate === undefined ? [] : [`${rate} requests/s for everybody`]),
    PLACES[placement],
  ].join(', ')
}

const sectionOf = (result: Result): string => {
  const lead = leadingFigure(result)
  const { workload, title } = result
  return [
    `### ${title}`,
    `\`${workload}\`: ${factsOf(result)}. Taken ${result.date.slice(0, 16)}Z by \`${result.command}\`.`,
    markdown(cellsOf(result)),
    ...(lead === undefined ? [] : [plot(workload, title, barsOf(result, lead))]),
    ...(CURVES.has(workload)
      ? [plot(`${workload}-latency`, `${title}, latency by percentile`, curvesOf(result))]
      : []),
  ].join('\n\n')
}

const microSection = ({ micro, command, date }: MicroResults): string =>
  [
    '### Micro benches',
    `Fresh process each, medians of ${micro[0]?.runs.length ?? 0}. Taken ${date.slice(0, 16)}Z by \`${command}\`.`,
    markdown([
      ['', 'ns a call', 'heap bytes a call'],
      ...micro.map(({ what, runs }) => [
        what,
        median(runs.map(({ nanoseconds }) => nanoseconds))?.toFixed(0) ?? '',
        median(runs.map(({ bytes }) => bytes))?.toFixed(0) ?? '',
      ]),
    ]),
  ].join('\n\n')

/** A part that a contender does not have, such as an interpreter, is left empty. */
const partCell = (us: number): string => (us < 0.005 ? '' : us.toFixed(2))

const profileOf = ({ profiles }: ProfileResults, workload: string, contender?: string) =>
  profiles.find((one) => one.workload === workload && one.contender === contender)

/**
 * What is left of the missed targets when berth's own code costs nothing, and when the runtime does not either. Of a
 * profile only the shares are taken where they will do: it is one run of each, at a moment of its own.
 */
const obstacles = (results: readonly Result[], profiles: ProfileResults): string[][] =>
  judgements(results).flatMap((judgement) => {
    const { workload, own, other, what, target, measured, holds, cpuRatio } = judgement
    const [mine, theirs] = [own, other].map((name) => profileOf(profiles, workload, name))
    if (holds || mine === undefined || theirs === undefined) return []
    const whole = cpuRatio ?? mine.cpuUs / theirs.cpuUs
    const ratio = (percent: number) => `${((whole * percent) / 100).toFixed(2)} x`
    const { kernel, 'own JavaScript': script } = mine.percent
    const whose = own === 'berth' ? '' : `${own}: `
    return [[`\`${workload}\``, whose + what, target, measured, ratio(100 - script), ratio(kernel)]]
  })

const obstacleSection = (results: readonly Result[], profiles: ProfileResults): string[] => {
  const rows = obstacles(results, profiles)
  if (rows.length === 0) return []
  return [
    'What stands in the way of those that do not hold, where both sides were profiled (*Where the time goes*): the CPU time that ' +
      'berth spends outside its own JavaScript, and that it spends in the kernel, as ratios to all the CPU time of the other. On one core, ' +
      'CPU time is latency.',
    markdown([
      ['workload', 'what', 'target', 'measured', 'without own code', 'kernel alone'],
      ...rows,
    ]).replaceAll('---:', '---'),
  ]
}

/** What a tail at half load consists of, where it is longer than it is to be. */
const tailSection = (results: readonly Result[], { collections = [] }: ProfileResults): string[] =>
  collections.flatMap(({ workload, rate, perSecond, pauseMs, percent }) => {
    const result = results.find((one) => one.workload === workload)
    const missed = judgements(results).some((one) => one.workload === workload && !one.holds)
    const [own, relay] = ['berth', 'c-relay-busy'].map((name) =>
      result?.contenders.find((contender) => contender.name === name),
    )
    if (!missed || own === undefined || relay === undefined) return []
    const us = ({ runs }: typeof own, figure: FigureName) => medianOf(runs, figure)?.toFixed(0)
    return [
      `\`${workload}\`: a tail is queueing, and what holds everybody up. \`c-relay-busy\`, which costs ${medianOf(relay.runs, 'cpuUsPerRequest')?.toFixed(1)} us ` +
        `a request and does nothing else, has a p90 of ${us(relay, 'p90')} and a p99 of ${us(relay, 'p99')} us; berth, at ` +
        `${medianOf(own.runs, 'cpuUsPerRequest')?.toFixed(1)} us, ${us(own, 'p90')} and ${us(own, 'p99')}. A part of what berth has beside it are V8's collections ` +
        `of the young, by its own trace ${perSecond.toFixed(0)} a second at ${rate} requests/s, ${pauseMs.toFixed(2)} ms each, ${percent.toFixed(1)} % of the time.`,
    ]
  })

/** What a second worker costs, beside what a second thread costs elsewhere on the same cores, where it costs too much. */
const secondWorkerSection = (results: readonly Result[], profiles: ProfileResults): string[] => {
  const result = results.find(({ workload }) => workload === 'workers')
  const [one, two] = ['berth', 'berth-2'].map((name) => profileOf(profiles, 'workers', name))
  if (result === undefined || one === undefined || two === undefined) return []
  if (judgements([result]).every(({ cpuRatio, holds }) => cpuRatio === undefined || holds))
    return []
  const [berth, berth2, haproxy, haproxy2] = ['berth', 'berth-2', 'haproxy', 'haproxy-2'].map(
    (name) => figureOf(result, name, 'cpuUsPerRequest'),
  )
  if (!berth || !berth2 || !haproxy || !haproxy2) return []
  const part = ({ cpuUs, percent }: Profile, name: Part) => (cpuUs * percent[name]) / 100
  const more = (name: Part) => (part(two, name) - part(one, name)).toFixed(1)
  return [
    '`workers`: the client and the engine have a part of the same cores. Two of a contender take turns with them, and sleep and wake where ' +
      `one alone finds work whenever it looks. A second thread of HAProxy makes a request ${(haproxy2 / haproxy).toFixed(2)} x as dear, a second worker of ` +
      `berth ${(berth2 / berth).toFixed(2)} x; of the ${(two.cpuUs - one.cpuUs).toFixed(1)} us that it adds by sampling, ${more('kernel')} are the kernel's and ` +
      `${more('own JavaScript')} berth's own JavaScript's.`,
  ]
}

const profileSection = ({ profiles, command, date }: ProfileResults): string =>
  [
    '### Where the time goes',
    `CPU microseconds a request, a message or a MB, and whose code they are spent in, by sampling (which makes them dearer than above). Taken ${date.slice(0, 16)}Z by \`${command}\`.`,
    markdown([
      ['', 'all', ...PART_NAMES],
      ...profiles.map(({ workload, contender, cpuUs, percent }) => [
        `\`${workload}\` ${contender}`,
        cpuUs.toFixed(1),
        ...PART_NAMES.map((name) => partCell((percent[name] * cpuUs) / 100)),
      ]),
    ]),
  ].join('\n\n')

const machineOf = ({ cpu, cores, memoryGb, kernel, node }: Machine): string =>
  `${cpu}, ${cores} cores, ${memoryGb} GB, Linux ${kernel}, Node ${node}`

const contendersOf = (results: readonly Result[]): string => {
  const all = new Map(results.flatMap(({ contenders }) => contenders.map((c) => [c.name, c])))
  return markdown([
    ['contender', 'version', 'how'],
    ...[...all.values()].map(({ name, version, what }) => [name, version, what]),
  ]).replaceAll('---:', '---')
}

const targetsOf = (results: readonly Result[]): string => {
  const all = judgements(results)
  const held = all.filter(({ holds }) => holds).length
  const unknown = unjudged(results)
  return [
    `${held} of ${all.length} hold.`,
    markdown([
      ['workload', 'what', 'target', 'measured', 'holds'],
      ...all.map(({ workload, what, target, measured, holds }) => [
        `\`${workload}\``,
        what,
        target,
        measured,
        holds ? 'yes' : '**no**',
      ]),
    ]).replaceAll('---:', '---'),
    ...(unknown.length === 0
      ? []
      : [
          `Not judged, for want of a measurement or of cores:\n\n${unknown.map((line) => `- ${line}`).join('\n')}`,
        ]),
  ].join('\n\n')
}

const page = (
  results: readonly Result[],
  micro: MicroResults | undefined,
  profiles: ProfileResults | undefined,
): string => {
  const machines = [...new Set(results.map(({ machine }) => machineOf(machine)))]
  const missing = [...new Set(results.flatMap((result) => result.missing))]
  const measured = new Set(results.map(({ workload }) => workload))
  const unmeasured = WORKLOADS.filter(({ name }) => !measured.has(name))
  return `${[
    '# Results',
    'Generated by `npm run bench:report` from `bench/results/`, which holds every raw value; not to be edited.',
    machines.map((machine) => `- ${machine}`).join('\n'),
    'Figures are medians over rounds; the first has its lowest and highest round beside it. Every contender is started fresh for ' +
      'each run, and all of them take turns within a round, in an order that is reversed each time; those who compile while they run ' +
      '(berth, Node) are warmed up longer where they have more to compile. Nobody writes a log. CPU is what ' +
      "the kernel's schedstat says of the contender's own threads, client and engine not included. Latencies are counted from when a " +
      'request was due. `direct` is the engine of the bench itself.',
    missing.length === 0 ? '' : `Missing on this machine: ${missing.join(', ')}.`,
    unmeasured.length === 0
      ? ''
      : `Workloads not measured: ${unmeasured.map(({ name }) => `\`${name}\``).join(', ')}.`,
    '## Targets',
    targetsOf(results),
    ...(profiles === undefined ? [] : obstacleSection(results, profiles)),
    ...(profiles === undefined ? [] : tailSection(results, profiles)),
    ...(profiles === undefined ? [] : secondWorkerSection(results, profiles)),
    '## Contenders',
    contendersOf(results),
    '## Workloads',
    ...results.map(sectionOf),
    ...(profiles === undefined ? [] : [profileSection(profiles)]),
    ...(micro === undefined ? [] : [microSection(micro)]),
  ]
    .filter((part) => part !== '')
    .join('\n\n')}\n`
}

const all = readResults(RESULTS) as (Result | MicroResults | ProfileResults)[]
const order = WORKLOADS.map(({ name }) => name)
const results = all
  .filter((result): result is Result => order.includes(result.workload))
  .sort((a, b) => order.indexOf(a.workload) - order.indexOf(b.workload))
const micro = all.find((result): result is MicroResults => result.workload === 'micro')
const profiles = all.find((result): result is ProfileResults => result.workload === 'profile')

rmSync(PLOTS, { recursive: true, force: true })
mkdirSync(PLOTS, { recursive: true })
writeFileSync(join(SOURCES, 'RESULTS.md'), page(results, micro, profiles))
process.stdout.write(`bench/RESULTS.md: ${results.length} workloads\n`)
