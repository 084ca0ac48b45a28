/** How a command that failed ends: its exit code, and what it says. */
import { CommanderError } from 'commander'
import { CertificateError } from '../accept/certificates.ts'
import { ListenError } from '../accept/door.ts'
import { ConfigError } from '../config/config.ts'
import { Failure, type FailureCode } from '../errors.ts'
import { CommandError } from './io.ts'

/** 1: refused as things are. 2: used or configured wrongly. 70: a bug of berth's (EX_SOFTWARE of sysexits.h). */
export interface Ending {
  readonly exitCode: 0 | 1 | 2 | 70
  /** Undefined where it has been said already. */
  readonly says: string | undefined
}

/** Failures that another command line, or another config, would not have had. */
const OF_USAGE: ReadonlySet<FailureCode> = new Set([
  'TENANT_INVALID',
  'STORE_URL',
  'SECRET_UNUSABLE',
])

const CURES: Partial<Record<FailureCode, string>> = {
  STORE_UNAVAILABLE:
    'nothing is changed unless this says so; is it running, and are --store and --state those of the berth that serves?',
}

/** What a config says, and the machine does not have. */
const OF_CONFIG = [ConfigError, ListenError, CertificateError]

const isSystemError = (error: unknown): error is Error =>
  error instanceof Error && 'syscall' in error

const isOfConfig = (error: unknown): error is Error =>
  OF_CONFIG.some((kind) => error instanceof kind)

/** Its message, which a tenant may read, and for an operator what only he may. */
const ofFailure = ({ code, message, cause }: Failure): Ending => {
  const cure = CURES[code]
  const isSaid = !(cause instanceof Error) || message.includes(cause.message)
  const whole = isSaid ? message : `${message}: ${cause.message}`
  return {
    exitCode: OF_USAGE.has(code) ? 2 : 1,
    says: cure === undefined ? whole : `${whole} (${cure})`,
  }
}

/** Errors that are answers to a user need no stack; all others are bugs and keep theirs. */
export const endingOf = (error: unknown): Ending => {
  // help and version are thrown too; what is wrong with the arguments has been said by commander
  if (error instanceof CommanderError)
    return { exitCode: error.exitCode === 0 ? 0 : 2, says: undefined }
  if (error instanceof CommandError) return { exitCode: error.exitCode, says: error.message }
  if (error instanceof Failure && error.code !== 'INTERNAL') return ofFailure(error)
  if (isSystemError(error) || isOfConfig(error)) return { exitCode: 2, says: error.message }
  return {
    exitCode: 70,
    says: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }
}
