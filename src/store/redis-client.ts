/** An ioredis client for a target, set up so that no command waits for a server that is away. */

import { Cluster, Redis } from 'ioredis'
import { SCRIPTS } from './redis-scripts.ts'
import type { RedisTarget } from './redis-url.ts'

/** The scripts of `redis-scripts.ts` as ioredis adds them to a client. */
interface Scripts {
  commitRecords(keys: number, ...args: (string | number | Uint8Array)[]): Promise<number | null>
  takeLease(lease: string, fences: string, duration: number): Promise<number | null>
  renewLease(lease: string, fence: number, duration: number): Promise<number>
  releaseLease(lease: string, fence: number): Promise<number>
}

export type RedisClient = (Redis | Cluster) & Scripts

/** A server that is silent for so long (ms) is away. */
const COMMAND_TIMEOUT = 1500
const CONNECT_TIMEOUT = 3000
/** Between attempts to reconnect: 50 ms, doubled each time up to a second. */
const retryDelay = (attempt: number): number => Math.min(25 * 2 ** attempt, 1000)

/** A master that was demoted while we were connected to it: connect again, to whoever is master now. */
const isDemoted = (error: Error): boolean => error.message.startsWith('READONLY')

/** What every single connection is made with. */
const connectionOptions = ({ username, password, tls }: RedisTarget) => ({
  protocol: 2 as const,
  connectionName: 'berth',
  commandTimeout: COMMAND_TIMEOUT,
  connectTimeout: CONNECT_TIMEOUT,
  keepAlive: 5000,
  reconnectOnError: isDemoted,
  // a command is sent once or fails: one that is sent again after its answer was lost would be made twice
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  // the subscriptions are renewed by the store, which has to read again after each
  autoResubscribe: false,
  ...(username !== undefined && { username }),
  ...(password !== undefined && { password }),
  ...(tls && { tls }),
})

const CLIENT_OPTIONS = {
  lazyConnect: true,
  enableOfflineQueue: false,
  scripts: SCRIPTS,
} as const

/** A client that is not yet connected. Errors of its connections are its user's to listen to. */
export const createClient = (target: RedisTarget): RedisClient => {
  const { kind, addresses, master, database, sentinelPassword, tls } = target
  const connection = connectionOptions(target)
  if (kind === 'cluster') {
    return new Cluster([...addresses], {
      ...CLIENT_OPTIONS,
      redisOptions: connection,
      clusterRetryStrategy: retryDelay,
      clusterNodeRetryStrategy: retryDelay,
      // as above: what may have been made is not sent again
      retryDelayOnFailover: 0,
    }) as Cluster & Scripts
  }
  const options = { ...CLIENT_OPTIONS, ...connection, retryStrategy: retryDelay, db: database }
  if (kind === 'sentinel') {
    return new Redis({
      ...options,
      sentinels: [...addresses],
      name: master,
      failoverDetector: true,
      sentinelRetryStrategy: retryDelay,
      ...(sentinelPassword !== undefined && { sentinelPassword }),
      ...(tls && { sentinelTLS: tls, enableTLSForSentinelMode: true }),
    }) as Redis & Scripts
  }
  return new Redis({ ...options, ...addresses[0] }) as Redis & Scripts
}
