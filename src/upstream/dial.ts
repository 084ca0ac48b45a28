/** Opens one connection to an engine, or fails in time. */
import { Failure } from '../errors.ts'
import { open } from '../transport/adopt.ts'
import type { Conduit } from '../transport/conduit.ts'
import { type EngineAddress, printEngineAddress } from './address.ts'
import { dialTls } from './dial-tls.ts'
import { reasonOf } from './reasons.ts'

/** An engine on the same machine or network answers a connect in milliseconds; a lost SYN is sent again after 1 s and 3 s. */
export const DIAL_TIMEOUT_MS = 10_000

/** @throws Failure ENGINE_UNREACHABLE or ENGINE_TIMEOUT */
export const dial = (address: EngineAddress, timeoutMs = DIAL_TIMEOUT_MS): Promise<Conduit> =>
  address.kind === 'tls' ? dialTls(address, timeoutMs) : dialPlain(address, timeoutMs)

const dialPlain = (
  address: Exclude<EngineAddress, { kind: 'tls' }>,
  timeoutMs: number,
): Promise<Conduit> =>
  new Promise((resolve, reject) => {
    const where = printEngineAddress(address)
    const conduit = open(
      address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port },
    )
    const timer = setTimeout(() => {
      conduit.destroy()
      reject(
        new Failure('ENGINE_TIMEOUT', `no connection to ${where} within ${timeoutMs / 1000} s`),
      )
    }, timeoutMs)
    conduit.receiver = {
      received() {},
      ended() {},
      gone(_, error) {
        clearTimeout(timer)
        reject(new Failure('ENGINE_UNREACHABLE', `${where}: ${reasonOf(error)}`, error))
      },
    }
    conduit.socket.once('connect', () => {
      clearTimeout(timer)
      resolve(conduit)
    })
  })
