/** `npm run bench:compare REF [NAME...]`: this tree against another commit, alternating, with every raw value shown. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { berthIn } from './contender.ts'
import { type FigureName, type Figures, median } from './figures.ts'
import { interleaved, measure } from './measure.ts'
import { ROOT } from './places.ts'
import { SCALES, type Unit, workloadsNamed } from './workload.ts'

const USAGE = `bench:compare REF [NAME...] [--rounds N]

Builds REF in a git worktree of its own, and measures it and this tree (as built) in turn, fresh processes each time,
the order reversed every round. Without NAME: get-32, bulk-down-chunked, attach-echo-1.`

const DEFAULT_NAMES = ['get-32', 'bulk-down-chunked', 'attach-echo-1']
const DEFAULT_ROUNDS = 7

/** What a workload is compared by; lower is better in all of them. */
const COMPARED: Readonly<Record<Unit, readonly FigureName[]>> = {
  request: ['cpuUsPerRequest', 'p50', 'p99'],
  GB: ['cpuSecondsPerGb'],
  stream: ['kbPerStream'],
}

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

/** Calls `use` with the folder of a built checkout of `ref`, and removes it whatever comes of it. */
const checkout = async (ref: string, use: (root: string) => Promise<void>): Promise<void> => {
  const parent = mkdtempSync(join(tmpdir(), 'berth-compare-'))
  const root = join(parent, 'tree')
  const git = (...args: string[]) => execFileSync('git', ['-C', ROOT, ...args], { stdio: 'pipe' })
  try {
    git('worktree', 'add', '--detach', root, ref)
    symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'))
    build(root)
    await use(root)
  } finally {
    try {
      git('worktree', 'remove', '--force', root)
    } finally {
      rmSync(parent, { recursive: true, force: true })
      git('worktree', 'prune')
    }
  }
}

const build = (root: string): void => {
  const tsc = join(ROOT, 'node_modules/.bin/tsc')
  try {
    execFileSync(tsc, ['--project', root, '--incremental', 'false'], { stdio: 'pipe' })
  } catch (error) {
    // tsc emits all the same; a commit whose tests do not compile can still be measured
    say(
      `tsc complains about ${root}: ${(error as { stdout: Buffer }).stdout.toString().slice(0, 400)}`,
    )
  }
}

const line = (name: FigureName, before: readonly Figures[], after: readonly Figures[]): string => {
  const [olds, news] = [before, after].map((runs) => runs.flatMap((run) => run[name] ?? []))
  const [old = Number.NaN, now = Number.NaN] = [median(olds ?? []), median(news ?? [])]
  const raw = (values: readonly number[] = []) =>
    values.map((value) => value.toPrecision(3)).join(' ')
  const change = `${((now / old - 1) * 100).toFixed(1)} %`
  return (
    `  ${name.padEnd(18)} ${old.toPrecision(4).padStart(8)} -> ${now.toPrecision(4).padStart(8)} ` +
    `${change.padStart(8)}\n    before: ${raw(olds)}\n    now:    ${raw(news)}`
  )
}

const compare = async (ref: string, names: readonly string[], rounds: number): Promise<void> =>
  checkout(ref, async (root) => {
    const sides = [
      { contender: berthIn(root, { name: ref }), runs: [] as Figures[] },
      { contender: berthIn(ROOT), runs: [] as Figures[] },
    ] as const
    for (const workload of workloadsNamed(names).filter(({ atHalfLoad }) => !atHalfLoad)) {
      for (const side of sides) side.runs.length = 0
      await interleaved(sides, rounds, async ({ contender, runs }) => {
        runs.push((await measure(contender, workload, SCALES.full)).figures)
      })
      say(`\n${workload.title}: ${ref} -> this tree, medians of ${rounds}`)
      for (const figure of COMPARED[workload.unit]) say(line(figure, sides[0].runs, sides[1].runs))
    }
  })

const main = async (): Promise<void> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false } },
  })
  const [ref, ...names] = positionals
  if (values.help || ref === undefined) return say(USAGE)
  const rounds = values.rounds === undefined ? DEFAULT_ROUNDS : Number(values.rounds)
  await compare(ref, names.length === 0 ? DEFAULT_NAMES : names, rounds)
}

await main()
