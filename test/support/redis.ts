/** Real Redis servers, sentinels and clusters for tests, from Debian's packages, gone when the test is. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** What a server needs of a test. */
export interface Teardown {
  teardown(handler: () => unknown): void
}

export interface RedisServer {
  readonly port: number
  readonly directory: string
  /** Ends it without a chance to save anything. */
  kill(): Promise<void>
  /** Stops and continues it, as an overloaded machine would. */
  pause(): void
  resume(): void
  /** Starts it again on the same port, with the same directory. */
  start(): Promise<void>
}

/** The server's program is in redis-tools; the package redis-server adds its name, and a service that no test wants. */
const PROGRAM = '/usr/bin/redis-check-rdb'

const install = (): void => {
  if (existsSync(PROGRAM)) return
  const script = 'apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-tools'
  // test files run side by side: one of them installs
  execFileSync('flock', [
    '/var/lock/berth-test-apt',
    'sh',
    '-c',
    `[ -x ${PROGRAM} ] || (${script})`,
  ])
}

/** A loopback port that was free a moment ago. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** Starts the program under the name that decides what it does, and waits for the line that says it is ready. */
const launch = async (name: string, args: readonly string[]): Promise<ChildProcess> => {
  const child = spawn(PROGRAM, args, { argv0: name, stdio: ['ignore', 'pipe', 'inherit'] })
  const ready = name === 'redis-sentinel' ? '+monitor' : 'eady to accept connections'
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) {
    lines.push(line)
    if (!line.includes(ready)) continue
    child.stdout.resume()
    return child
  }
  throw new Error(`${name} did not start:\n${lines.join('\n')}`)
}

const kill = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

const run = async (
  t: Teardown,
  name: 'redis-server' | 'redis-sentinel',
  config: (port: number) => readonly string[],
): Promise<RedisServer> => {
  install()
  const directory = mkdtempSync(join(tmpdir(), 'berth-redis-'))
  const port = await freePort()
  const file = join(directory, 'redis.conf')
  const start = (): Promise<ChildProcess> => launch(name, [file])
  writeFileSync(
    file,
    ['bind 127.0.0.1', `port ${port}`, `dir ${directory}`, ...config(port), ''].join('\n'),
  )
  let child = await start()
  t.teardown(async () => {
    await kill(child)
    rmSync(directory, { recursive: true, force: true })
  })
  return {
    port,
    directory,
    kill: () => kill(child),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    start: async () => {
      child = await start()
    },
  }
}

/** One server that keeps nothing, or with `durable` everything, on disk. `config` has lines for redis.conf. */
export const startRedis = (
  t: Teardown,
  { durable = false, config = [] }: { durable?: boolean; config?: readonly string[] } = {},
): Promise<RedisServer> => {
  const keep = durable ? ['appendonly yes', 'appendfsync always'] : ['appendonly no']
  return run(t, 'redis-server', () => ['save ""', ...keep, ...config])
}

/** A sentinel that watches over the server at `port` and calls it `name`. */
export const startSentinel = (t: Teardown, name: string, port: number): Promise<RedisServer> =>
  run(t, 'redis-sentinel', () => [
    `sentinel monitor ${name} 127.0.0.1 ${port} 1`,
    `sentinel down-after-milliseconds ${name} 300`,
    `sentinel failover-timeout ${name} 2000`,
  ])

const cli = (port: number, ...command: string[]): string =>
  execFileSync('/usr/bin/redis-cli', ['-p', String(port), ...command], { encoding: 'utf8' })

/** Two masters that share the slots of a cluster. */
export const startCluster = async (t: Teardown): Promise<[RedisServer, RedisServer]> => {
  const config = ['cluster-enabled yes', 'cluster-node-timeout 1000']
  const [a, b] = await Promise.all([startRedis(t, { config }), startRedis(t, { config })])
  cli(a.port, 'CLUSTER', 'ADDSLOTSRANGE', '0', '8191')
  cli(b.port, 'CLUSTER', 'ADDSLOTSRANGE', '8192', '16383')
  cli(b.port, 'CLUSTER', 'SET-CONFIG-EPOCH', '2')
  cli(a.port, 'CLUSTER', 'MEET', '127.0.0.1', String(b.port))
  const isWhole = (port: number): boolean =>
    cli(port, 'CLUSTER', 'INFO').includes('cluster_state:ok') &&
    cli(port, 'CLUSTER', 'NODES').trim().split('\n').length === 2
  while (!(isWhole(a.port) && isWhole(b.port))) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return [a, b]
}
