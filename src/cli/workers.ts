/** Several processes on the same listeners, one a core: the primary accepts and hands out, the workers do everything else. */
import cluster, { type Worker } from 'node:cluster'
import type { Io } from './io.ts'
import { CommandError } from './io.ts'

/** A worker that dies younger than this would die again at once. */
const INFANT_MS = 2000

interface Ready {
  readonly listening: readonly string[]
}

/** True in a process that `runWorkers` has started. */
export const isWorker = (): boolean => cluster.isWorker

/** Tells the primary where this worker listens. */
export const tellReady = (urls: readonly string[]): void => {
  cluster.worker?.send({ listening: urls } satisfies Ready)
}

/** Starts one worker; resolves with where it listens. */
const start = (onExit: (worker: Worker, ageMs: number) => void): Promise<readonly string[]> =>
  new Promise((resolve, reject) => {
    const began = performance.now()
    const worker = cluster.fork()
    worker.once('message', (message: Ready) => resolve(message.listening))
    worker.once('exit', (code) => {
      reject(new CommandError(`a worker ended with code ${code} before it listened`))
      onExit(worker, performance.now() - began)
    })
  })

/**
 * Runs `count` copies of this process until a signal says stop; one that dies is replaced. Records are shared through
 * the store; quotas and connection limits hold for each worker.
 * @throws CommandError when they cannot start
 */
export const runWorkers = async (io: Io, count: number): Promise<void> => {
  let isStopping = false
  let ended: (() => void) | undefined
  const onExit = (_: Worker, ageMs: number): void => {
    if (isStopping) {
      if (Object.keys(cluster.workers ?? {}).length === 0) ended?.()
    } else if (ageMs > INFANT_MS) {
      io.err('berth: a worker has died; another one takes its place')
      start(onExit).catch((error: Error) => io.err(`berth: ${error.message}`))
    }
  }
  const [urls = []] = await Promise.all(Array.from({ length: count }, () => start(onExit)))
  for (const url of urls) io.out(`listening on ${url}`)
  await io.stopped
  isStopping = true
  await new Promise<void>((resolve) => {
    ended = resolve
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
    if (Object.keys(cluster.workers ?? {}).length === 0) resolve()
  })
}
