/** A result as a table: one row a contender, one column a figure, medians over the rounds. */
import { type FigureName, type Figures, medianOf } from './figures.ts'
import type { ContenderResult, Result } from './results.ts'

interface Column {
  readonly figure: FigureName
  readonly title: string
  readonly digits: number
}

const column = (figure: FigureName, title: string, digits: number): Column => ({
  figure,
  title,
  digits,
})

/** In this order; a workload shows those that it has. */
const COLUMNS: readonly Column[] = [
  column('cpuUsPerRequest', 'CPU us/request', 1),
  column('cpuSecondsPerGb', 'CPU s/GB', 3),
  column('kbPerStream', 'KB/stream', 1),
  column('perSecond', 'requests/s', 0),
  column('gbPerSecond', 'GB/s', 2),
  column('p50', 'p50 us', 0),
  column('p90', 'p90 us', 0),
  column('p99', 'p99 us', 0),
  column('p999', 'p99.9 us', 0),
  column('max', 'max us', 0),
  column('fewestPercent', 'fewest connections %', 0),
  column('switchesPerRequest', 'switches/request', 2),
  column('busyPercent', 'busy %', 0),
  column('rssMb', 'RSS MB', 1),
]

/** What a workload is judged by: its first column. */
export const leadingFigure = (result: Result): FigureName | undefined =>
  COLUMNS.find(({ figure }) => has(result, figure))?.figure

const has = (result: Result, figure: FigureName): boolean =>
  result.contenders.some(({ runs }) => runs.some((run) => run[figure] !== undefined))

const spread = (runs: readonly Figures[], { figure, digits }: Column): string => {
  const values = runs.flatMap((run) => run[figure] ?? [])
  return `${Math.min(...values).toFixed(digits)}-${Math.max(...values).toFixed(digits)}`
}

/** @returns the header and a row a contender; the first figure with its range over the rounds */
export const cellsOf = (result: Result): string[][] => {
  const columns = COLUMNS.filter(({ figure }) => has(result, figure))
  const [lead] = columns
  const header = ['', ...columns.map(({ title }) => title)]
  if (lead !== undefined) header.splice(2, 0, 'min-max')
  return [header, ...result.contenders.map((contender) => rowOf(contender, columns))]
}

const rowOf = ({ name, runs, failure }: ContenderResult, columns: readonly Column[]): string[] => {
  if (runs.length === 0) return [name, `failed: ${failure ?? 'never run'}`]
  const cells = columns.map(({ figure, digits }) => medianOf(runs, figure)?.toFixed(digits) ?? '')
  const [lead] = columns
  if (lead !== undefined) cells.splice(1, 0, spread(runs, lead))
  return [
    failure === undefined ? name : `${name} (stopped after ${runs.length} of its runs: ${failure})`,
    ...cells,
  ]
}

/** For a terminal. */
export const tableOf = (result: Result): string => {
  const rows = cellsOf(result)
  const widths = (rows[0] ?? []).map((_, i) =>
    Math.max(...rows.filter((row) => row.length > 2).map((row) => row[i]?.length ?? 0)),
  )
  return rows
    .map((row) =>
      row.map((cell, i) => (i === 0 ? cell.padEnd(12) : cell.padStart(widths[i] ?? 0))).join('  '),
    )
    .join('\n')
}
