/** The micro benches: one function of src each, in fresh processes. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { MicroFigures } from './micro/time.ts'
import { COMPILED } from './places.ts'
import { pinned } from './process.ts'

export const MICRO = {
  'read-head': 'find the end of a request head',
  'parse-request': 'text of a request head -> RequestHead',
  'parse-response': 'text of a response head -> ResponseHead',
  'write-response': 'ResponseHead -> text',
  match: 'request target -> route, version, names, query',
  chunked: 'follow 1 MiB in chunks of 32 KiB',
  create: 'judge and rewrite the create body of a docker run',
  identify: 'a key in a header -> tenant, on a new connection',
  'identify-again': 'the same key on a connection that is known',
  'store-get': 'a record of the embedded store (LMDB), by key',
  'key-first': 'a key -> tenant, not known yet: two records, one unsealed',
} as const satisfies Record<string, string>

export type MicroName = keyof typeof MICRO

export interface MicroResult {
  readonly name: MicroName
  readonly what: string
  readonly runs: readonly MicroFigures[]
}

/** None takes longer than a few seconds, unless it is stuck. */
const MICRO_MS = 30_000
const run = promisify(execFile)

/** @param compiled the folder of the compiled bench: another one to time another checkout */
export const measureMicro = async (
  name: MicroName,
  compiled: string = COMPILED,
): Promise<MicroFigures> => {
  // A large nursery, so that counting allocations is not cut short by a collection
  const command = {
    file: process.execPath,
    args: ['--max-semi-space-size=64', join(compiled, 'micro', `${name}.js`)],
  }
  const { file, args } = pinned(command, 'system')
  const { stdout } = await run(file, args, { timeout: MICRO_MS, killSignal: 'SIGKILL' })
  return JSON.parse(stdout) as MicroFigures
}
