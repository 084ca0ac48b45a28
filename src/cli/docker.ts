/** Runs the docker CLI of whoever runs berth. */
import { spawn } from 'node:child_process'
import { CommandError, type Io } from './io.ts'

/**
 * Runs `docker ...` to its end.
 * @returns what it printed on standard output
 * @throws CommandError with what it said, if it failed or is not there
 */
export const runDocker = (io: Io, args: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void =>
      reject(new CommandError(why, { exitCode: 1, cause }))
    const child = spawn('docker', args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...io.env } })
    let printed = ''
    let said = ''
    child.stdout.on('data', (text) => {
      printed += text
    })
    child.stderr.on('data', (text) => {
      said += text
    })
    child.on('error', (error) =>
      fail(
        `docker cannot be run here (${error.message}); run the command above where docker is`,
        error,
      ),
    )
    child.on('close', (code) => {
      if (code === 0) resolve(printed)
      else fail(`docker ${args.slice(0, 2).join(' ')}: ${said.trim() || `ended with code ${code}`}`)
    })
  })
