/** A berth in a process of its own, as its users run it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))
const START_PATIENCE_MS = 15_000

export interface BerthOptions {
  readonly engine: string
  readonly listen?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Berth {
  readonly url: string
  readonly urls: readonly string[]
  readonly pid: number
  /** Everything it has logged. */
  log(): string
  /** Ends it as an operator would, with SIGTERM; resolves with its exit code. */
  stop(): Promise<number | null>
}

const DEFAULT_LISTEN = ['tcp://127.0.0.1:0']

/** One that asks nobody who he is. */
export const startBerth = (options: BerthOptions): Promise<Berth> =>
  launchBerth({
    ...options,
    args: ['--anonymous', '--engine', options.engine, ...(options.args ?? [])],
  })

/** One that is told everything by its arguments. */
export const launchBerth = async (options: Omit<BerthOptions, 'engine'>): Promise<Berth> => {
  const listen = options.listen ?? DEFAULT_LISTEN
  const args = ['serve', '--drain-seconds', '1', ...(options.args ?? [])]
  for (const url of listen) args.push('--listen', url)
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  })
  let log = ''
  child.stderr.on('data', (text) => {
    log += text
  })
  const urls = await listening(child, listen.length, () => log)
  return {
    url: urls[0]!,
    urls,
    pid: child.pid!,
    log: () => log,
    stop: () => stop(child),
  }
}

const stop = (child: ChildProcess): Promise<number | null> => {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code))
    child.kill('SIGTERM')
  })
}

const listening = (child: ChildProcess, count: number, log: () => string): Promise<string[]> =>
  new Promise((resolve, reject) => {
    let out = ''
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`berth did not start:\n${log()}`))
    }, START_PATIENCE_MS)
    child.once('exit', (code) => reject(new Error(`berth ended with code ${code}:\n${log()}`)))
    child.stdout!.on('data', (text) => {
      out += text
      const urls = [...out.matchAll(/^listening on (\S+)$/gm)].map((match) => match[1]!)
      if (urls.length < count) return
      clearTimeout(timer)
      child.removeAllListeners('exit')
      resolve(urls)
    })
  })
