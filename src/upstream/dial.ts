/** Opens one connection to an engine, or fails in time. */
import { Failure } from '../errors.ts'
import { open } from '../transport/adopt.ts'
import type { Conduit } from '../transport/conduit.ts'
import type { EngineAddress } from './address.ts'

/** An engine on the same machine or network answers a connect in milliseconds; a lost SYN is sent again after 1 s and 3 s. */
export const DIAL_TIMEOUT_MS = 10_000

const printable = (address: EngineAddress): string =>
  address.kind === 'unix' ? `unix://${address.path}` : `tcp://${address.host}:${address.port}`

/** @throws Failure ENGINE_UNREACHABLE or ENGINE_TIMEOUT */
export const dial = (address: EngineAddress, timeoutMs = DIAL_TIMEOUT_MS): Promise<Conduit> =>
  new Promise((resolve, reject) => {
    const conduit = open(
      address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port },
    )
    const timer = setTimeout(() => {
      conduit.destroy()
      reject(
        new Failure(
          'ENGINE_TIMEOUT',
          `no connection to ${printable(address)} within ${timeoutMs / 1000} s`,
        ),
      )
    }, timeoutMs)
    conduit.receiver = {
      received() {},
      ended() {},
      gone(_, error) {
        clearTimeout(timer)
        reject(new Failure('ENGINE_UNREACHABLE', `${printable(address)}: ${reason(error)}`, error))
      },
    }
    conduit.socket.once('connect', () => {
      clearTimeout(timer)
      resolve(conduit)
    })
  })

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there; is the engine running?',
  ENOENT: 'there is no such socket; is the engine running?',
  EACCES: 'berth may not open it; is its user in the docker group?',
  ENOTFOUND: 'the name is not known',
}

const reason = (error: Error | undefined): string =>
  REASONS[(error as NodeJS.ErrnoException | undefined)?.code ?? ''] ??
  error?.message ??
  'closed at once'
