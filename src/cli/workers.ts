/** Several processes, one a core: the primary accepts and deals out, the workers do everything else. */
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import type { ListenAddress } from '../accept/address.ts'
import { openDoors } from '../accept/door.ts'
import type { Config } from '../config/config.ts'
import { type Accepted, discard } from '../transport/handle.ts'
import type { Io } from './io.ts'
import { CommandError } from './io.ts'
import { untilStopped } from './until-stopped.ts'

/** A worker that dies is replaced, but not more often than this. */
const REPLACE_MS = 2000
/** With so many connections on their way to it a worker is busy with something else: the next one gets its turn. */
const BEHIND = 64

/** What comes with a connection. */
interface Dealt {
  readonly listener: string
}

/** True in a process that `runWorkers` has started. */
export const isWorker = (): boolean => cluster.isWorker

/** In a worker: gets the connections that the primary deals to it, from now on. */
export const takeFromPrimary = (take: (accepted: Accepted, listener: string) => void): void => {
  cluster.worker?.on('message', ({ listener }: Dealt, accepted: Accepted | undefined) => {
    // undefined where it was closed on its way
    if (accepted !== undefined) take(accepted, listener)
  })
  cluster.worker?.send('ready')
}

interface Dealing {
  readonly accepted: Accepted
  readonly listener: string
}

/** A worker that is ready, and what has been dealt to it and not been sent yet. */
interface Player {
  readonly worker: Worker
  readonly underWay: Set<Dealing>
}

/**
 * Who gets which connection: each in turn, so that all have as many. Connections are long, and a worker that happens
 * to be quick at taking them would otherwise get most.
 */
class Deal {
  readonly #players: Player[] = []
  /** Came while there was nobody to take them. */
  #waiting: Dealing[] = []

  add(worker: Worker): void {
    const player: Player = { worker, underWay: new Set() }
    this.#players.push(player)
    worker.once('exit', () => {
      this.#players.splice(this.#players.indexOf(player), 1)
      for (const dealing of player.underWay) this.#give(dealing)
    })
    const waiting = this.#waiting
    this.#waiting = []
    for (const dealing of waiting) this.#give(dealing)
  }

  readonly give = (accepted: Accepted, listener: string): void => this.#give({ accepted, listener })

  #give(dealing: Dealing): void {
    const player = this.#next()
    if (player === undefined) {
      this.#waiting.push(dealing)
      return
    }
    const { accepted, listener } = dealing
    player.underWay.add(dealing)
    player.worker.send({ listener } satisfies Dealt, accepted as never, (error) => {
      // a worker that is gone says so by its exit, which deals again
      if (error === null && player.underWay.delete(dealing)) discard(accepted)
    })
  }

  #next(): Player | undefined {
    const at = this.#players.findIndex(({ underWay }) => underWay.size < BEHIND)
    const [player] = this.#players.splice(Math.max(0, at), 1)
    if (player !== undefined) this.#players.push(player)
    return player
  }
}

/** A worker that cannot start says why, and ends as one process alone would: so does the primary. */
const exitCodeOf = (code: number | null): 1 | 2 | 70 => (code === 2 || code === 70 ? code : 1)

/** Starts one worker; resolves when it is ready. */
const start = (): Promise<Worker> =>
  new Promise((resolve, reject) => {
    const worker = cluster.fork()
    worker.once('message', () => resolve(worker))
    worker.once('exit', (code: number | null) => {
      const says = `a worker ended with code ${code} before it was ready`
      reject(new CommandError(says, { exitCode: exitCodeOf(code) }))
    })
  })

/** Resolves when it has ended, however far it had come; it is told once more when that has to be now. */
const end = async (worker: Worker | undefined, now: Promise<unknown>): Promise<void> => {
  if (worker === undefined || worker.isDead()) return
  const ended = once(worker, 'exit')
  worker.process.kill('SIGTERM')
  void now.then(() => worker.process.kill('SIGTERM'))
  await ended
}

/**
 * Runs as many copies of this process as `workers` says until a signal says stop; one that dies is replaced. Records
 * are shared through the store; quotas and connection limits hold for each worker.
 * @throws CommandError when they cannot start, or ListenError
 */
export const runWorkers = async (
  io: Io,
  { workers: count, drainSeconds }: Pick<Config, 'workers' | 'drainSeconds'>,
  addresses: readonly ListenAddress[],
): Promise<void> => {
  const deal = new Deal()
  let isStopping = false
  const employ = (worker: Worker): void => {
    const began = performance.now()
    deal.add(worker)
    worker.once('exit', () => {
      if (isStopping) return
      io.err('berth: a worker has died; another one takes its place')
      setTimeout(replace, REPLACE_MS - (performance.now() - began))
    })
  }
  const replace = (): void => {
    if (isStopping) return
    start().then(employ, ({ message }: Error) => {
      if (isStopping) return
      io.err(`berth: ${message}; trying again`)
      setTimeout(replace, REPLACE_MS)
    })
  }
  await Promise.all(Array.from({ length: count }, () => start().then(employ)))
  const doors = await openDoors(addresses, deal.give)
  for (const { url } of doors) io.out(`listening on ${url}`)
  await untilStopped(io, drainSeconds, (now) => {
    isStopping = true
    for (const door of doors) door.close()
    return Promise.all(Object.values(cluster.workers ?? {}).map((worker) => end(worker, now)))
  })
}
