/** Events -> structured log lines (pino, JSON). Names, keys and bodies of requests never appear. */
import { type Logger, pino } from 'pino'
import { audits, type ExchangeEvent, exchanges } from './events.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'
export const LOG_LEVELS = [
  'debug',
  'info',
  'warn',
  'error',
  'silent',
] as const satisfies readonly LogLevel[]

export const createLog = (level: LogLevel): Logger =>
  pino(
    { level, base: { name: 'berth' }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination(2),
  )

const lineOf = (event: ExchangeEvent) => ({
  request: event.id,
  tenant: event.tenant,
  method: event.method,
  route: event.route,
  status: event.status,
  ms: Math.round(event.ms),
  from: event.remoteAddress,
  ...(event.failure && {
    failure: event.failure.code,
    reason: event.failure.message,
    cause: causeOf(event.failure.cause),
  }),
})

const causeOf = (cause: unknown): string | undefined =>
  cause instanceof Error ? (cause.stack ?? cause.message) : undefined

/** Failures of berth's own are errors, other failures warnings, served requests information. */
const logExchanges = (log: Logger): (() => void) =>
  exchanges.subscribe((event) => {
    if (event.failure === undefined) log.info(lineOf(event), 'served')
    else if (event.status >= 500) log.error(lineOf(event), 'failed')
    else log.warn(lineOf(event), 'refused')
  })

/** What mode `audit` let through, one line each: an operator turns a policy on when none are left that he wants. */
const logAudits = (log: Logger): (() => void) =>
  audits.subscribe(({ id, refused, ...what }) =>
    log.warn({ request: id, ...what }, refused ? 'would be refused' : 'would be changed'),
  )

/** Writes a line for all that is told. Returns a function that ends that. */
export const logEvents = (log: Logger): (() => void) => {
  const ends = [logExchanges(log), logAudits(log)]
  return () => {
    for (const end of ends) end()
  }
}
