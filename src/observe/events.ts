/** What berth tells about itself: typed channels that cost one comparison while nobody listens. */
import { type Channel, channel } from 'node:diagnostics_channel'

/** One request, when its response is complete or given up. */
export interface ExchangeEvent {
  readonly id: string
  readonly tenant: string | undefined
  readonly method: string | undefined
  /** The matched template, never the client's text: no names, no keys. */
  readonly route: string | undefined
  readonly status: number
  readonly ms: number
  readonly remoteAddress: string | undefined
  readonly failure:
    | { readonly code: string; readonly message: string; readonly cause: unknown }
    | undefined
}

/** What a policy in mode `audit` would have done, and did not. */
export interface AuditEvent {
  readonly id: string
  readonly tenant: string
  readonly route: string
  readonly policy: string
  /** The key of the body or query, or what the request names: never a value of the client's. */
  readonly path: string
  readonly verdict: string
  /** True where the request would have been refused; false where something would have been changed or left out. */
  readonly refused: boolean
  readonly why: string | undefined
}

class Topic<Event> {
  readonly #channel: Channel

  constructor(name: string) {
    this.#channel = channel(`berth:${name}`)
  }

  /** Ask before an event is built: building it is what costs. */
  get isHeard(): boolean {
    return this.#channel.hasSubscribers
  }

  publish(event: Event): void {
    this.#channel.publish(event)
  }

  /** Returns a function that ends the subscription. */
  subscribe(listener: (event: Event) => void): () => void {
    const onMessage = (message: unknown): void => listener(message as Event)
    this.#channel.subscribe(onMessage)
    return () => this.#channel.unsubscribe(onMessage)
  }
}

export const exchanges = new Topic<ExchangeEvent>('exchange')
export const audits = new Topic<AuditEvent>('audit')
