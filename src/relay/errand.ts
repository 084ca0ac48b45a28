/** What relay is to do, decided by the stages before it: values only, so that relay needs to know none of them. */

import type { RequestFieldClass } from '../wire/fields.ts'
import type { Framing } from '../wire/head.ts'

/** What becomes of the request body. */
export type BodyPlan =
  /** No body goes to the engine; what the client sends is read and thrown away. */
  | { readonly kind: 'none' }
  /** The body passes through untouched, while it comes. */
  | { readonly kind: 'stream' }
  /** The body is read whole, up to `cap` bytes, and what `judge` returns of it is sent. */
  | { readonly kind: 'judge'; readonly cap: number; readonly judge: (body: Buffer) => Buffer }

/** The protocol a connection changes to, or none. `tcp` is docker's name for raw attach streams. */
export type Hijack = 'none' | 'tcp' | 'h2c' | 'websocket'

export interface Errand {
  readonly method: string
  /** Rebuilt from the matched route: no byte of it is the client's spelling. */
  readonly target: string
  readonly contentType: string | undefined
  /** Which classes of request fields go along, beside `any`. */
  readonly fieldClasses: ReadonlySet<RequestFieldClass>
  readonly hijack: Hijack
  readonly plan: BodyPlan
}

/** The framing that a plan's body has upstream; `judge` knows it only when the body has been read. */
export const framingOf = (plan: BodyPlan, client: Framing): Framing =>
  plan.kind === 'stream' ? client : { kind: 'none' }
