#!/usr/bin/env node
/** The process edge: arguments, environment, signals and exit codes; nothing else touches `process`. */
import { readFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { CommandError, type Io } from './cli/io.ts'
import { createProgram } from './cli/program.ts'
import { ConfigError } from './config/config.ts'

const stopped = new Promise<string>((resolve) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal))
})

const io: Io = {
  env: process.env,
  isRoot: process.getuid?.() === 0,
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
  stopped,
}

const version = (): string =>
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version as string

/** Errors that are answers to a user need no stack; all others are bugs and keep theirs. */
const exitCodeOf = (error: unknown): number => {
  if (error instanceof CommanderError) return error.exitCode
  const isExpected =
    error instanceof ConfigError || error instanceof CommandError || isSystemError(error)
  io.err(
    isExpected ? `berth: ${(error as Error).message}` : `berth: ${(error as Error).stack ?? error}`,
  )
  return isExpected ? 2 : 70
}

const isSystemError = (error: unknown): boolean => error instanceof Error && 'syscall' in error

try {
  await createProgram(io, version()).parseAsync(process.argv)
  process.exit(0)
} catch (error) {
  process.exit(exitCodeOf(error))
}
