/** One run: a fresh engine, a fresh contender before it, and the load program in front of both. */
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Certificate, makeCertificate } from './certificate.ts'
import type { Contender } from './contender.ts'
import { type Figures, figuresOf, type Histogram, type LoadReport } from './figures.ts'
import { native } from './native.ts'
import { answersPing, freePort, Program, pinned, placementHere, putAhead } from './process.ts'
import { MOMENT_SECONDS, type Scale, scaledFor, streamsOf, type Workload } from './workload.ts'

export interface Run {
  readonly figures: Figures
  readonly histogram: Histogram
}

/** A contender at work: where it listens, and which processes it is. */
export interface Standing {
  readonly port: number
  readonly folder: string
  readonly contender: Program
  readonly engine: Program
  readonly isJit: boolean
  readonly tls: Certificate | undefined
}

/** How a workload wants them set up. */
export type Setting = Pick<Workload, 'placement' | 'listener'>

/** Starts both, calls `use`, and stops both whatever comes of it. */
export const standing = async <T>(
  contender: Contender,
  { placement: wanted, listener }: Setting,
  use: (standing: Standing) => Promise<T>,
): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  chmodSync(folder, 0o755) // workers of a contender may run as nobody
  const clear = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', clear) // where it is interrupted
  const started: Program[] = []
  const isJit = contender.isJit === true
  const placement = placementHere(wanted)
  const start = async (program: Promise<Program>): Promise<Program> => {
    started.push(await program)
    return program
  }
  try {
    const [socket, enginePort] = [join(folder, 'engine.sock'), await freePort()]
    const engineCommand = { file: native('engine'), args: [`unix:${socket}`, `tcp:${enginePort}`] }
    const engine = await start(
      Program.start(pinned(engineCommand, 'around', placement), () => answersPing(enginePort)),
    )
    const tls = listener === 'tls' ? makeCertificate(folder) : undefined
    if (contender.command === undefined)
      return await use({ port: enginePort, folder, contender: engine, engine, isJit, tls })
    const port = await freePort()
    const command = pinned(contender.command({ port, socket, folder, tls }), 'system', placement)
    const { announces = '' } = contender
    const program = await start(
      Program.start(
        command,
        async (said) => said.includes(announces) && (await answersPing(port, tls?.certificate)),
      ),
    )
    return await use({ port, folder, contender: program, engine, isJit, tls })
  } finally {
    await Promise.all(started.map((program) => program.stop()))
    process.off('exit', clear)
    clear()
  }
}

const run = promisify(execFile)

/**
 * Puts a workload on what stands, and waits for the end.
 * @param more options of the load program that win over the workload's
 * @throws Error when an answer was not what it should be
 */
export const load = async (
  { port, folder, contender, engine, isJit, tls }: Standing,
  workload: Workload,
  scale: Scale,
  more: readonly string[] = [],
): Promise<LoadReport> => {
  const request = join(folder, 'request')
  writeFileSync(request, workload.request(scale), 'latin1')
  const { file, args } = pinned(
    {
      file: native('load'),
      args: [
        workload.mode,
        ...['--to', `tcp:${port}`, '--request', request],
        ...['--watch', `contender:${contender.pids}`, '--watch', `engine:${engine.pids}`],
        ...(tls === undefined ? [] : ['--tls', tls.certificate]),
        ...workload.load(scaledFor(workload, scale, { isJit })),
        ...more,
      ],
    },
    'around',
    workload.placement,
  )
  const { stdout } = await run(file, args, { maxBuffer: 64 << 20 })
  return JSON.parse(stdout) as LoadReport
}

/** Not ahead before it is warm: beside a thread that goes first, and has all to do, V8's compiler would get no time. */
const loadAhead: typeof load = async (place, workload, scale, more = []) => {
  await load(place, workload, scale, [...more, '--seconds', String(MOMENT_SECONDS)])
  putAhead(place.contender.pids, place.isJit)
  return load(place, { ...workload, warmups: 1 }, scale, more)
}

/** @param rate requests a second, for workloads of a fixed rate */
export const measure = async (
  contender: Contender,
  workload: Workload,
  scale: Scale,
  rate?: number,
): Promise<Run> =>
  standing(contender, workload, async (place) => {
    const more = rate === undefined ? [] : ['--rate', String(Math.round(rate))]
    const report =
      placementHere(workload.placement) === 'undisturbed'
        ? await loadAhead(place, workload, scale, more)
        : await load(place, workload, scale, more)
    if (report.requests === 0 && workload.unit === 'request')
      throw new Error('it answered nothing while it was measured')
    return {
      figures: figuresOf(report, workload.unit, streamsOf(workload, scale)),
      histogram: report.histogram,
    }
  })

/** Calls `each` for every contender in every round, in an order that is reversed each time: nobody is always first. */
export const interleaved = async <T>(
  contenders: readonly T[],
  rounds: number,
  each: (contender: T, round: number) => Promise<void>,
): Promise<void> => {
  for (let round = 0; round < rounds; round++)
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed())
      await each(contender, round)
}
