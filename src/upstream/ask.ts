/** A request of berth's own to an engine, answered whole: for the few things that berth needs to know or make itself. */
import { Failure } from '../errors.ts'
import type { ResponseHead } from '../wire/head.ts'
import { collectAnswer } from './answer.ts'
import { isSafe, type Loss, mayAskAgain } from './connection.ts'
import type { Connection, Pool } from './pool.ts'

export interface Question {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'
  /** With the version: `/v1.44/volumes/create`. */
  readonly target: string
  readonly contentType?: string
  readonly body?: Buffer
}

export interface EngineAnswer {
  readonly status: number
  readonly head: ResponseHead
  readonly body: Buffer
}

/** Answers to questions of berth's own are small, but for an image with a long history. */
const CAP = 4 << 20
/** An engine under load may take a while; a client waits behind this. */
const PATIENCE_MS = 30_000

const headOf = (host: string, { method, target, contentType, body }: Question): string => {
  const framing = body === undefined ? '' : `Content-Length: ${body.length}\r\n`
  const type = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`
  return `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${type}${framing}\r\n`
}

/** @throws Failure of the connection, ENGINE_TIMEOUT or MALFORMED_RESPONSE; any status is an answer */
export const ask = async (pool: Pool, question: Question): Promise<EngineAnswer> => {
  const head = headOf(pool.host, question)
  // what may not be asked twice is not asked where it could get lost
  const idle = isSafe(question.method) ? pool.take() : undefined
  const first = idle ?? (await pool.begin(head))
  const answer = await askOn(pool, first, head, question, mayAskAgain)
  if (answer !== LOST) return answer
  return askOn(pool, await pool.begin(head), head, question, never) as Promise<EngineAnswer>
}

/** In place of an answer: the question did not arrive, and may be asked on another connection. */
const LOST = Symbol('lost')
const never = (): boolean => false

const askOn = async (
  pool: Pool,
  connection: Connection,
  head: string,
  question: Question,
  mayRetry: typeof mayAskAgain,
): Promise<EngineAnswer | typeof LOST> => {
  const { conduit } = connection
  const { method } = question
  let reusable = false
  let timer: NodeJS.Timeout | undefined
  try {
    return await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Failure('ENGINE_TIMEOUT')), PATIENCE_MS)
      const answered = (head: ResponseHead, rest: Buffer): void => {
        collectAnswer(conduit, head.framing, rest, CAP).then((body) => {
          reusable = head.keepAlive && !conduit.hasUnread
          resolve({ status: head.status, head, body })
        }, reject)
      }
      const unanswered = (failure: Failure, loss: Loss): void =>
        mayRetry(connection, method, loss, true) ? resolve(LOST) : reject(failure)
      connection.ask(head, method, { answered, unanswered })
      if (question.body === undefined) return
      conduit.send(question.body)
      connection.bodySent()
    })
  } finally {
    clearTimeout(timer)
    pool.release(connection, reusable)
  }
}
