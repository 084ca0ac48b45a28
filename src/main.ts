#!/usr/bin/env node
/** The process edge: arguments, environment, signals and exit codes; nothing else touches `process`. */
import { readFileSync } from 'node:fs'
import { endingOf } from './cli/ending.ts'
import type { Io } from './cli/io.ts'
import { createProgram } from './cli/program.ts'

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
/** Ctrl-C reaches all processes of a terminal, and npm and a primary pass it on: what follows so soon is the same. */
const ECHO_MS = 500
/** Whoever waits for a signal; undefined while nobody ever has. */
let waiting: ((signal: string) => void)[] | undefined
let lastSignalAt = Number.NEGATIVE_INFINITY

const hear = (signal: string): void => {
  const now = performance.now()
  if (now - lastSignalAt > ECHO_MS) for (const resolve of waiting?.splice(0) ?? []) resolve(signal)
  lastSignalAt = now
}

const nextSignal = (): Promise<string> => {
  if (waiting === undefined) for (const each of SIGNALS) process.on(each, hear)
  return new Promise((resolve) => {
    waiting = [...(waiting ?? []), resolve]
  })
}

const io: Io = {
  env: process.env,
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
  signal: nextSignal,
}

const version = (): string =>
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version as string

// `berth tenant list | head`: whoever reads has enough
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

// whoever read the log has gone: that is no reason to end what is under way
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

try {
  await createProgram(io, version()).parseAsync(process.argv)
  process.exit(0)
} catch (error) {
  const { exitCode, says } = endingOf(error)
  if (says !== undefined) io.err(`berth: ${says}`)
  process.exit(exitCode)
}
