/** berth's commands in this process, with everything they say. */
import { endingOf } from '../../src/cli/ending.ts'
import type { Io } from '../../src/cli/io.ts'
import { createProgram } from '../../src/cli/program.ts'

export interface Ended {
  readonly exitCode: number
  readonly out: string
  readonly err: string
}

/** Runs `berth ARGS...`, with nothing in its environment but `env`. */
export const runProgram = async (
  env: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<Ended> => {
  const out: string[] = []
  const err: string[] = []
  const io: Io = {
    env,
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    signal: () => new Promise(() => {}),
  }
  const ended = (exitCode: number) => ({ exitCode, out: out.join('\n'), err: err.join('\n') })
  try {
    await createProgram(io, '1.2.3').parseAsync(['node', 'berth', ...args])
    return ended(0)
  } catch (error) {
    const { exitCode, says } = endingOf(error)
    if (says !== undefined) io.err(`berth: ${says}`)
    return ended(exitCode)
  }
}
