#!/usr/bin/env node
/** The process edge: arguments, environment, signals and exit codes; nothing else touches `process`. */
import { readFileSync } from 'node:fs'
import { endingOf } from './cli/ending.ts'
import type { Io } from './cli/io.ts'
import { createProgram } from './cli/program.ts'

const stopped = new Promise<string>((resolve) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal))
})

const io: Io = {
  env: process.env,
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
  stopped,
}

const version = (): string =>
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version as string

// `berth tenant list | head`: whoever reads has enough
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

try {
  await createProgram(io, version()).parseAsync(process.argv)
  process.exit(0)
} catch (error) {
  const { exitCode, says } = endingOf(error)
  if (says !== undefined) io.err(`berth: ${says}`)
  process.exit(exitCode)
}
