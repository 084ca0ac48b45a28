/** What berth is to reach, as ratios between contenders of one run; the page says which hold. */
import { type FigureName, medianOf } from './figures.ts'
import type { Result } from './results.ts'

interface Target {
  readonly workload: string
  readonly figure: FigureName
  readonly what: string
  /** Compared after direct's figure is taken off on both sides. */
  readonly isAdded?: true
  /** Contender and factor: berth's figure is to be no more than factor x the contender's. */
  readonly bounds: Readonly<Record<string, number>>
}

interface Ceiling {
  readonly workload: string
  readonly figure: FigureName
  readonly what: string
  readonly atMost: number
}

const BULK = { haproxy: 0.75, 'c-relay': 1.25 }
const bulk = (workload: string): Target => ({
  workload,
  figure: 'cpuSecondsPerGb',
  what: 'CPU a GB',
  bounds: BULK,
})

export const TARGETS: readonly (Target | Ceiling)[] = [
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
  { workload: 'logs-idle', figure: 'kbPerStream', what: 'KB a stream over TCP', atMost: 12 },
]

export interface Judgement {
  readonly workload: string
  readonly what: string
  readonly target: string
  readonly measured: string
  readonly holds: boolean
}

/** One judgement for every bound whose workload and contender have been measured. */
export const judgements = (results: readonly Result[]): Judgement[] =>
  TARGETS.flatMap((target) => {
    const result = results.find(({ workload }) => workload === target.workload)
    if (result === undefined) return []
    return 'atMost' in target ? judgeCeiling(target, result) : judgeBounds(target, result)
  })

const figureOf = (result: Result, name: string, figure: FigureName): number | undefined => {
  const contender = result.contenders.find((candidate) => candidate.name === name)
  return contender && medianOf(contender.runs, figure)
}

const judgeCeiling = ({ workload, figure, what, atMost }: Ceiling, result: Result): Judgement[] => {
  const own = figureOf(result, 'berth', figure)
  if (own === undefined) return []
  const [target, measured] = [`<= ${atMost}`, own.toFixed(1)]
  return [{ workload, what, target, measured, holds: own <= atMost }]
}

const judgeBounds = (target: Target, result: Result): Judgement[] => {
  const { workload, figure, what, bounds, isAdded } = target
  const base = isAdded ? figureOf(result, 'direct', figure) : 0
  const own = figureOf(result, 'berth', figure)
  if (own === undefined || base === undefined) return []
  return Object.entries(bounds).flatMap(([name, factor]) => {
    const other = figureOf(result, name, figure)
    if (other === undefined) return []
    const ratio = (own - base) / (other - base)
    return [
      {
        workload,
        what,
        target: `<= ${factor} x ${name}`,
        measured: `${ratio.toFixed(2)} x`,
        holds: ratio <= factor,
      },
    ]
  })
}
