/** Starts programs in groups of their own, finds what they started in turn, and leaves none behind. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** What is measured, or the client and the engine around it. */
export type Side = 'system' | 'around'

/**
 * Apart: what is measured has a core to itself, so that its CPU time is not disturbed. Together: everything shares one
 * core, for workloads of one message at a time, where waking another core (in a virtual machine 30 us) would hide all else.
 * Free: wherever the kernel puts them, for systems of several processes.
 * Undisturbed: apart, and ahead of whatever else the machine runs there, for tails: a daemon that wakes once a second and
 * computes for 3 ms makes 1 % of the requests late, whoever carries them.
 */
export type Placement = 'apart' | 'together' | 'free' | 'undisturbed'

const CORES = availableParallelism()
export const isPinned = CORES > 1
const LAST = String(CORES - 1)
const OTHERS = CORES > 2 ? `0-${CORES - 2}` : '0'

/** The same command on the cores where it belongs. */
export const pinned = (
  { file, args, env }: Command,
  side: Side,
  placement: Placement = 'apart',
): Command => {
  if (!isPinned || placement === 'free') return { file, args, ...(env && { env }) }
  const cores = side === 'system' || placement === 'together' ? LAST : OTHERS
  return { file: 'taskset', args: ['-c', cores, file, ...args], ...(env && { env }) }
}

/** Round robin at the lowest real-time priority: before every ordinary thread, after the kernel's own. */
const chrt = (...to: string[]): boolean => spawnSync('chrt', ['--rr', ...to]).status === 0

/** The placement that this machine can give: real-time priority is for root, as a rule. */
export const placementHere = (wanted: Placement): Placement =>
  wanted === 'undisturbed' && !chrt('1', 'true') ? 'apart' : wanted

/**
 * Puts the threads that carry requests ahead of all that is ordinary. Those in which V8 compiles and collects stay
 * ordinary: of the same priority, on the same core, they would make the first thread wait.
 */
export const putAhead = (pids: readonly number[], isJit: boolean): void => {
  for (const pid of pids)
    if (!chrt(...(isJit ? [] : ['--all-tasks']), '--pid', '1', String(pid)))
      throw new Error(`no real-time priority for process ${pid}`)
}

const START_MS = 10_000
const running = new Set<Program>()

process.on('exit', () => {
  for (const program of running) program.kill()
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

export class Program {
  readonly #child: ChildProcess
  readonly #name: string
  #said = ''

  private constructor(command: Command) {
    this.#name = command.file
    this.#child = spawn(command.file, command.args, {
      detached: true, // its own process group: workers go with their master
      env: { ...process.env, ...command.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const hear = (text: Buffer) => {
      this.#said = (this.#said + text).slice(-4_000_000)
    }
    this.#child.stdout?.on('data', hear)
    this.#child.stderr?.on('data', hear)
    this.#child.on('error', hear)
    running.add(this)
  }

  /**
   * @param ready is asked, with all that the program has said so far, until it says yes; throws when the program
   * ends first or takes too long
   */
  static async start(
    command: Command,
    ready: (said: string) => Promise<boolean>,
  ): Promise<Program> {
    const program = new Program(command)
    const started = performance.now()
    while (!(await ready(program.said))) {
      if (program.#child.exitCode === null && performance.now() - started < START_MS) {
        await sleep(10)
        continue
      }
      program.kill()
      throw new Error(`${program.#name} did not start: ${program.said.trim() || 'without a word'}`)
    }
    return program
  }

  get said(): string {
    return this.#said
  }

  /** The process and everything below it. */
  get pids(): number[] {
    return this.#child.pid === undefined ? [] : descendants(this.#child.pid)
  }

  /** Asks it to end as Ctrl-C does, and waits until it has. */
  async interrupt(): Promise<void> {
    const ended = once(this.#child, 'close')
    this.#child.kill('SIGINT')
    await ended
  }

  kill(): void {
    running.delete(this)
    if (this.#child.pid === undefined || this.#child.exitCode !== null) return
    try {
      process.kill(-this.#child.pid, 'SIGKILL')
    } catch {
      // it has gone by itself
    }
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.#child
    this.kill()
    if (exitCode === null && signalCode === null) await once(this.#child, 'exit')
  }
}

const parentOf = (pid: string): number => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0])
  } catch {
    return -1
  }
}

const descendants = (root: number): number[] => {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => [Number(pid), parentOf(pid)] as const)
  const found = [root]
  for (let i = 0; i < found.length; i++)
    for (const [pid, parent] of parents) if (parent === found[i]) found.push(pid)
  return found
}

/** A port that nobody listens on now. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** True when an HTTP server answers a ping there; over TLS where a certificate is given, and then with that one. */
export const answersPing = (port: number, certificate?: string): Promise<boolean> =>
  new Promise((resolve) => {
    const place = { port, host: '127.0.0.1' }
    const isPlain = certificate === undefined
    const socket = isPlain
      ? connect(place)
      : connectTls({ ...place, servername: 'localhost', ca: readFileSync(certificate) })
    socket.setTimeout(1000, () => socket.destroy())
    socket.on(isPlain ? 'connect' : 'secureConnect', () =>
      socket.write('GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    )
    socket.on('data', (bytes) => {
      resolve(bytes.toString('latin1').startsWith('HTTP/1.1 200'))
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(false))
  })
