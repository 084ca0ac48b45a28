/** What berth is to reach, as ratios between contenders of one run; the page says which hold. */
import { type FigureName, medianOf } from './figures.ts'
import type { Result } from './results.ts'

interface Aim {
  readonly workload: string
  /** Whose figure it is; berth's unless it says so. */
  readonly contender?: string
  readonly figure: FigureName
  readonly what: string
}

interface Target extends Aim {
  /** Compared after direct's figure is taken off on both sides. */
  readonly isAdded?: true
  /** Contender and factor: the figure is to be no more than factor x the contender's. */
  readonly bounds: Readonly<Record<string, number>>
}

/** A figure that is to be at least factor x another contender's, on machines with so many cores. */
interface Floor extends Aim {
  readonly atLeast: Readonly<Record<string, number>>
  readonly cores: number
}

/** A figure that is to be within these, whatever others reach. */
interface Range extends Aim {
  readonly min?: number
  readonly max?: number
}

const BULK = { haproxy: 0.75, 'c-relay': 1.25 }
const bulk = (workload: string): Target => ({
  workload,
  figure: 'cpuSecondsPerGb',
  what: 'CPU a GB',
  bounds: BULK,
})

/** A plain TCP splice is the relay in C; beside it stands what pipe makes of one on this runtime. */
const splice = (contender: string, what: string, factor: number): Target => ({
  workload: 'grpc-echo',
  contender,
  figure: 'cpuUsPerRequest',
  what,
  bounds: { 'c-relay': factor, 'node-splice': factor },
})

export const TARGETS: readonly (Target | Floor | Range)[] = [
  bulk('bulk-down-length'),
  bulk('bulk-down-chunked'),
  bulk('bulk-up-length'),
  bulk('bulk-up-chunked'),
  {
    workload: 'get-32',
    figure: 'cpuUsPerRequest',
    what: 'CPU a request',
    bounds: { haproxy: 1, nginx: 1, 'go-reverse': 0.25, 'go-read-all': 0.25, 'node-http': 0.2 },
  },
  { workload: 'get-1', figure: 'cpuUsPerRequest', what: 'CPU a request', bounds: { haproxy: 1 } },
  { workload: 'get-1', figure: 'p50', what: 'added p50', isAdded: true, bounds: { haproxy: 1 } },
  {
    workload: 'get-32-half',
    figure: 'p99',
    what: 'p99',
    bounds: {
      haproxy: 1.25,
      nginx: 1,
      caddy: 1,
      'go-reverse': 1,
      'go-read-all': 1,
      'node-http': 1,
    },
  },
  {
    workload: 'attach-echo-1',
    figure: 'p50',
    what: 'added p50',
    isAdded: true,
    bounds: { 'c-relay': 2 },
  },
  { workload: 'attach-echo-1', figure: 'p50', what: 'total p50', bounds: { 'c-relay': 1.25 } },
  { workload: 'logs-idle', figure: 'kbPerStream', what: 'KB a stream over TCP', max: 12 },
  splice('berth-open', 'CPU a message, spliced', 1),
  splice('berth', 'CPU a message, judged', 4),
  {
    workload: 'tls-bulk-down',
    figure: 'cpuSecondsPerGb',
    what: 'CPU a GB over TLS',
    bounds: { nginx: 1.1 },
  },
  { workload: 'tls-logs-idle', figure: 'kbPerStream', what: 'KB a stream over TLS', max: 45 },
  {
    workload: 'workers',
    contender: 'berth-2',
    figure: 'cpuUsPerRequest',
    what: 'CPU a request with two workers',
    bounds: { berth: 1.1, 'haproxy-2': 1 },
  },
  {
    workload: 'workers',
    contender: 'berth-2',
    figure: 'fewestPercent',
    what: 'connections of the worker with fewer, %',
    min: 40,
  },
  {
    workload: 'workers',
    contender: 'berth-2',
    figure: 'perSecond',
    what: 'requests a second with two workers',
    atLeast: { berth: 1.8 },
    // two workers, and whatever asks and answers them
    cores: 4,
  },
]

/** Those whom the targets of a workload set against each other. */
export const comparedIn = (workload: string): ReadonlySet<string> =>
  new Set(
    TARGETS.filter((aim) => aim.workload === workload).flatMap((aim) => [
      aim.contender ?? 'berth',
      ...('bounds' in aim ? Object.keys(aim.bounds) : []),
    ]),
  )

export interface Judgement {
  readonly workload: string
  /** Whose figure it is. */
  readonly own: string
  /** Whose figure it was set against, where it was one's. */
  readonly other?: string
  readonly what: string
  readonly target: string
  readonly measured: string
  /** What was measured, where it is CPU time against CPU time. */
  readonly cpuRatio?: number
  readonly holds: boolean
}

type Judge = (result: Result) => Judgement[]

const judgeOf = (aim: (typeof TARGETS)[number]): Judge => {
  if ('bounds' in aim) return (result) => judgeBounds(aim, result)
  return 'atLeast' in aim
    ? (result) => judgeFloor(aim, result)
    : (result) => judgeRange(aim, result)
}

/** One judgement for every bound whose workload and contender have been measured. */
export const judgements = (results: readonly Result[]): Judgement[] =>
  TARGETS.flatMap((aim) => {
    const result = results.find(({ workload }) => workload === aim.workload)
    return result === undefined ? [] : judgeOf(aim)(result)
  })

/** Targets of which nothing can be said, because a workload or somebody to compare with was not measured. */
export const unjudged = (results: readonly Result[]): string[] =>
  TARGETS.flatMap((aim) => {
    const result = results.find(({ workload }) => workload === aim.workload)
    const targets = targetsOf(aim)
    const judged = new Set((result ? judgeOf(aim)(result) : []).map(({ target }) => target))
    return targets
      .filter((target) => !judged.has(target))
      .map((target) => `\`${aim.workload}\`, ${aim.what} ${target}`)
  })

const targetsOf = (aim: (typeof TARGETS)[number]): string[] => {
  if ('bounds' in aim) return Object.entries(aim.bounds).map(([name, n]) => `<= ${n} x ${name}`)
  if ('atLeast' in aim) return Object.entries(aim.atLeast).map(([name, n]) => `>= ${n} x ${name}`)
  return [rangeOf(aim)]
}

const rangeOf = ({ min, max }: Range): string => (max === undefined ? `>= ${min}` : `<= ${max}`)

/** The median of a contender's rounds, where it has been measured. */
export const figureOf = (result: Result, name: string, figure: FigureName): number | undefined => {
  const contender = result.contenders.find((candidate) => candidate.name === name)
  return contender && medianOf(contender.runs, figure)
}

const ownFigure = ({ contender = 'berth', figure }: Aim, result: Result): number | undefined =>
  figureOf(result, contender, figure)

const judgeRange = (range: Range, result: Result): Judgement[] => {
  const { workload, contender = 'berth', what, min = 0, max = Number.POSITIVE_INFINITY } = range
  const own = ownFigure(range, result)
  if (own === undefined) return []
  const [target, measured] = [rangeOf(range), own.toFixed(1)]
  const holds = own >= min && own <= max
  return [{ workload, own: contender, what, target, measured, holds }]
}

const judgeFloor = (floor: Floor, result: Result): Judgement[] => {
  const { workload, contender = 'berth', figure, what, atLeast, cores } = floor
  if (result.machine.cores < cores) return []
  const own = ownFigure(floor, result)
  return Object.entries(atLeast).flatMap(([name, factor]) => {
    const other = figureOf(result, name, figure)
    if (own === undefined || other === undefined) return []
    const ratio = own / other
    const [target, measured] = [`>= ${factor} x ${name}`, `${ratio.toFixed(2)} x`]
    const holds = ratio >= factor
    return [{ workload, own: contender, other: name, what, target, measured, holds }]
  })
}

const CPU_FIGURES: ReadonlySet<FigureName> = new Set(['cpuUsPerRequest', 'cpuSecondsPerGb'])

const judgeBounds = (target: Target, result: Result): Judgement[] => {
  const { workload, contender = 'berth', figure, what, bounds, isAdded } = target
  const base = isAdded ? figureOf(result, 'direct', figure) : 0
  const own = ownFigure(target, result)
  if (own === undefined || base === undefined) return []
  return Object.entries(bounds).flatMap(([name, factor]) => {
    const other = figureOf(result, name, figure)
    if (other === undefined) return []
    const ratio = (own - base) / (other - base)
    return [
      {
        workload,
        own: contender,
        other: name,
        what,
        target: `<= ${factor} x ${name}`,
        measured: `${ratio.toFixed(2)} x`,
        ...(CPU_FIGURES.has(figure) && { cpuRatio: ratio }),
        holds: ratio <= factor,
      },
    ]
  })
}
