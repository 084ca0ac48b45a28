/** A real Docker engine of berth's own, from Debian's packages: for machines where none is running. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommandError } from './io.ts'

/** The package's root, seen from dist/src/cli. */
const SCRIPTS = fileURLToPath(new URL('../../../fixtures/engine/', import.meta.url))
const STOP_PATIENCE_MS = 20_000
const POLL_MS = 50

export interface PrivateEngine {
  readonly url: string
  /** The folder of its docker CLI. */
  readonly clientPath: string
  /** Stops it, if this process started it. */
  stop(): Promise<void>
}

/** Runs a script to its end; returns the last line it printed. */
const run = (script: string, args: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(join(SCRIPTS, script), args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let err = ''
    child.stdout.on('data', (text) => {
      out += text
    })
    child.stderr.on('data', (text) => {
      err += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(out.trim().split('\n').at(-1) ?? '')
      else reject(new CommandError(err.trim() || `${script} ended with code ${code}`))
    })
  })

const pidOf = (state: string): number | undefined => {
  try {
    return Number(readFileSync(join(state, 'pid'), 'utf8'))
  } catch {
    return undefined
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[2] !== 'Z'
  } catch {
    return false
  }
}

/**
 * Starts it, unless it runs; one that this started ends with this process, however that ends.
 * @throws CommandError that says why none can be had here, and what to do instead
 */
export const startPrivateEngine = async (folders: {
  cache: string
  state: string
}): Promise<PrivateEngine> => {
  const engine = join(folders.cache, 'engine')
  const state = join(folders.state, 'engine')
  await run('fetch', [engine])
  const before = pidOf(state)
  const wasRunning = before !== undefined && isAlive(before)
  const url = await run('run', ['--with-parent', engine, state])
  const pid = pidOf(state)
  return {
    url,
    clientPath: join(engine, 'usr', 'bin'),
    async stop() {
      if (pid === undefined || wasRunning || !isAlive(pid)) return
      kill(pid)
      const deadline = Date.now() + STOP_PATIENCE_MS
      while (isAlive(pid) && Date.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    },
  }
}

/** By its id, through a child: only main.ts may touch this process. */
const kill = (pid: number): void => {
  spawn('kill', [String(pid)], { stdio: 'ignore' })
}
