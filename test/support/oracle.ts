/** Go's net/http as a second reader of the same bytes: the server that engines are built on. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const SOURCE = fileURLToPath(new URL('../../fixtures/oracle/main.go', import.meta.url))
const DOWNLOAD_PATIENCE_MS = 60_000

export interface Seen {
  readonly listener: string
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, readonly string[]>>
  /** latin1. */
  readonly body: string
  readonly isBroken: boolean
}

const succeeds = (command: string, args: readonly string[], options: object = {}): boolean =>
  spawnSync(command, args, { stdio: 'ignore', ...options }).status === 0

/** Why there is no Go here, or undefined: Debian's is installed where it is missing and quickly had. */
const missingGo = (): string | undefined => {
  if (succeeds('go', ['version'])) return undefined
  if (process.getuid?.() !== 0 || !succeeds('apt-get', ['--version']))
    return 'there is no go command, and it cannot be installed'
  const apt = {
    timeout: DOWNLOAD_PATIENCE_MS,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  }
  const packages = ['install', '--yes', '--no-install-recommends', 'golang-go']
  if (
    !succeeds('apt-get', ['update'], apt) ||
    !succeeds('apt-get', [...packages, '--download-only'], apt)
  )
    return 'there is no go command, and Debian packages could not be had within a minute'
  const installed = succeeds('apt-get', packages, { env: apt.env })
  return installed && succeeds('go', ['version']) ? undefined : 'golang-go could not be installed'
}

export class Oracle {
  /** Paths of the sockets: one for clients that go straight to it, one for berth. */
  readonly direct: string
  readonly engine: string
  #seen: Seen[] = []
  readonly #child: ChildProcess

  constructor(child: ChildProcess, direct: string, engine: string) {
    this.#child = child
    this.direct = direct
    this.engine = engine
    createInterface({ input: child.stdout! }).on('line', (line) =>
      this.#seen.push(JSON.parse(line)),
    )
  }

  /** What has come to a socket, in order. */
  seen(listener: string): Seen[] {
    return this.#seen.filter((each) => each.listener === listener)
  }

  forget(): void {
    this.#seen = []
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}

/** @returns the oracle, or why there is none */
export const startOracle = async (t: Test): Promise<Oracle | string> => {
  const missing = missingGo()
  if (missing !== undefined) return missing
  const folder = mkdtempSync(join(tmpdir(), 'berth-oracle-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const binary = join(folder, 'oracle')
  const env = {
    ...process.env,
    GO111MODULE: 'off',
    GOFLAGS: '',
    CGO_ENABLED: '0',
    GOCACHE: join(folder, 'cache'),
  }
  const built = spawnSync('go', ['build', '-o', binary, SOURCE], { env, encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`go build: ${built.stderr}`)
  const [direct, engine] = [join(folder, 'direct.sock'), join(folder, 'engine.sock')]
  const child = spawn(binary, [direct, engine], { stdio: ['ignore', 'pipe', 'inherit'] })
  const oracle = new Oracle(child, direct, engine)
  t.teardown(() => oracle.stop())
  while (!existsSync(direct) || !existsSync(engine)) {
    if (child.exitCode !== null) throw new Error('the oracle ended at once')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return oracle
}
