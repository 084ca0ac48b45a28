/** What a run found out, on disk: one JSON file a workload, every raw value kept. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Figures, Histogram } from './figures.ts'
import { isPinned, type Placement } from './process.ts'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly kernel: string
  readonly node: string
  /** Cores are assigned, as `Placement` says. */
  readonly isPinned: boolean
}

export interface ContenderResult {
  readonly name: string
  readonly what: string
  readonly version: string
  /** One entry a round. */
  readonly runs: readonly Figures[]
  /** Of all rounds together. */
  readonly histogram: Histogram
  /** Why it has no more runs. */
  readonly failure?: string
}

export interface Result {
  readonly workload: string
  readonly title: string
  readonly date: string
  readonly command: string
  readonly machine: Machine
  /** How long a run was; where it was so many requests instead, `requests`. */
  readonly seconds: number
  readonly requests?: number
  readonly placement: Placement
  readonly rate?: number
  readonly streams?: number
  readonly gb?: number
  readonly contenders: readonly ContenderResult[]
  readonly missing: readonly string[]
}

export const thisMachine = (): Machine => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryGb: Math.round(totalmem() / 1e9),
  kernel: release().replace(/-.*/, ''),
  node: process.versions.node,
  isPinned,
})

export const writeResult = (folder: string, result: { readonly workload: string }): void => {
  mkdirSync(folder, { recursive: true })
  // One run a line: a diff of two results can be read
  const text = JSON.stringify(result, undefined, 1)
    .replace(/\[\n +(\d+),\n +(\d+)\n +\]/g, '[$1,$2]')
    .replace(/\],\n +\[/g, '],[')
  writeFileSync(join(folder, `${result.workload}.json`), `${text}\n`)
}

export const readResults = (folder: string): unknown[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
