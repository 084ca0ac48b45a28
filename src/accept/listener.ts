/** Listeners: sockets are accepted, counted and handed to a connection that knows their protocol. */
import { randomBytes } from 'node:crypto'
import { asFailure, Failure } from '../errors.ts'
import type { Connection, Exchange } from '../exchange.ts'
import { adopt, adoptPlain, release } from '../transport/adopt.ts'
import { type Conduit, SEND_BEFORE_RESET_MS } from '../transport/conduit.ts'
import type { Accepted } from '../transport/handle.ts'
import type { ListenAddress } from './address.ts'
import { type Door, openDoors } from './door.ts'
import { awaitFirst, NOT_YET } from './first-bytes.ts'
import { H1Connection, type Harbour, type Limits } from './h1.ts'
import { refusal } from './h1-exchange.ts'
import { H2Connection, type H2Options } from './h2.ts'
import { greet } from './h2-greeting.ts'
import { Probation } from './h2-probation.ts'
import { linger } from './linger.ts'
import { readProxyHeader } from './proxy-protocol.ts'
import { TLS_HANDSHAKE, type TlsTerminator } from './tls.ts'

export interface ListenerOptions {
  readonly limits: Limits
  readonly allowedHosts: ReadonlySet<string>
  readonly isAnonymous: boolean
  /** True for balancers that put a PROXY header before each connection. */
  readonly isBalancer: (address: string) => boolean
  /** What `tls://` listeners show. */
  readonly tls: TlsTerminator | undefined
  /** Whom what an address does is counted against. */
  readonly payerOf: (address: string | undefined) => string
  readonly serve: (exchange: Exchange) => void
  /** Splices a connection of gRPC calls, and says whether it has; its Failure is what the calls are answered with. */
  readonly tunnel: (client: Conduit, facts: Connection, id: string) => Promise<boolean>
  readonly refused: (failure: Failure, facts: Connection, id: string) => void
  /** The API version of the answers that berth makes itself. */
  readonly apiVersion: () => string
}

const SECOND_MS = 1000
/** Who is turned away and has asked already is to read why: the request of a docker client is read for that. */
const TURNED_AWAY = { ms: SECOND_MS, bytes: 16 << 10 }
/** So many at once: a flood is not to have connections beyond the limit. */
const MOST_TURNED_AWAY = 100
const NOT_TLS = new Failure(
  'NOT_TLS',
  'use --tls with the ca.pem of this berth, or a docker context that has it',
)

const ANYTHING: H2Options = { onlyCalls: false, objection: undefined }

const hasNegotiatedH2 = ({ socket }: Conduit): boolean =>
  'alpnProtocol' in socket && socket.alpnProtocol === 'h2'

export class Listeners implements Harbour {
  readonly limits: Limits
  readonly allowedHosts: ReadonlySet<string>
  now = 0
  isDraining = false
  readonly #options: ListenerOptions
  #doors: readonly Door[] = []
  readonly #connections = new Set<H1Connection | H2Connection>()
  readonly #sweep: NodeJS.Timeout
  readonly #probation = new Probation()
  readonly #idPrefix = randomBytes(4).toString('hex')
  #ids = 0
  /** Sockets accepted and not yet gone, whatever they have become. */
  #open = 0
  /** Those of them that have been turned away, and read why. */
  #leaving = 0
  #whenEmpty: (() => void) | undefined

  constructor(options: ListenerOptions) {
    this.#options = options
    this.limits = options.limits
    this.allowedHosts = options.allowedHosts
    this.#sweep = setInterval(this.#tick, SECOND_MS)
  }

  get apiVersion(): string {
    return this.#options.apiVersion()
  }

  get connections(): number {
    return this.#open
  }

  newId(): string {
    return `${this.#idPrefix}-${(++this.#ids).toString(36)}`
  }

  serve(exchange: Exchange): void {
    this.#options.serve(exchange)
  }

  refused(failure: Failure, facts: Connection, id: string): void {
    if (failure.code === 'HTTP2_ABUSE')
      this.#probation.offended(this.#options.payerOf(facts.remoteAddress), performance.now())
    this.#options.refused(failure, facts, id)
  }

  speaksH2(conduit: Conduit, facts: Connection): void {
    this.#inTurn(conduit, facts, () => {
      // a client that asked for h2 in its TLS handshake has requests of every kind; one that did not may have one kind only
      if (hasNegotiatedH2(conduit)) this.#beginH2(conduit, facts, ANYTHING)
      else this.#greet(conduit, facts)
    })
  }

  #greet(conduit: Conduit, facts: Connection): void {
    greet(conduit, this.limits.headSeconds, {
      flooded: ({ reason }) =>
        this.refused(new Failure('HTTP2_ABUSE', reason), facts, this.newId()),
      asked: (asked) => {
        if (asked === 'other') this.#beginH2(conduit, facts, ANYTHING)
        else
          this.#options.tunnel(conduit, facts, this.newId()).then(
            (isTunnelled) => {
              if (!isTunnelled) this.#beginH2(conduit, facts, ANYTHING)
            },
            (error) =>
              this.#beginH2(conduit, facts, { onlyCalls: false, objection: asFailure(error) }),
          )
      },
    })
  }

  carriesGrpc(conduit: Conduit, facts: Connection, objection: Failure | undefined): void {
    this.#inTurn(conduit, facts, () =>
      this.#beginH2(conduit, facts, { onlyCalls: true, objection }),
    )
  }

  /** HTTP/2 goes on at once, but for addresses that have flooded. */
  #inTurn(conduit: Conduit, facts: Connection, then: () => void): void {
    const payer = this.#options.payerOf(facts.remoteAddress)
    const { inMs, isServed } = this.#probation.turn(payer, performance.now())
    if (inMs === 0) return then()
    conduit.hold()
    setTimeout(() => {
      if (!isServed) conduit.destroy()
      else if (!conduit.isGone) then()
    }, inMs).unref()
  }

  #beginH2(conduit: Conduit, facts: Connection, options: H2Options): void {
    if (conduit.isGone) return
    const connection = new H2Connection(conduit, facts, this, options)
    this.#connections.add(connection)
    facts.whenGone.push(() => this.#connections.delete(connection))
    if (this.isDraining) connection.drain()
  }

  /**
   * Starts to listen at all of them, or at none.
   * @returns where: the addresses with the ports that the system chose, where it was asked to
   * @throws ListenError
   */
  async listen(addresses: readonly ListenAddress[]): Promise<string[]> {
    this.#doors = await openDoors(addresses, this.take)
    return this.#doors.map(({ url }) => url)
  }

  /** Takes a connection that was accepted here or by another process. */
  readonly take = (accepted: Accepted, listener: string): void => {
    const conduit = adopt(accepted)
    const { remoteAddress } = conduit.socket
    this.#open++
    conduit.onGone = this.#closed
    const facts: Connection = {
      listener,
      isAnonymous: this.#options.isAnonymous,
      remoteAddress,
      serverName: undefined,
      certificate: undefined,
      isGone: false,
      whenGone: [],
      end: () => {},
    }
    if (this.#open - this.#leaving > this.limits.connections || this.isDraining)
      this.#turnAway(conduit, facts)
    else if (remoteAddress !== undefined && this.#options.isBalancer(remoteAddress))
      this.#introduce(conduit, facts)
    else this.#welcome(conduit, facts)
  }

  /** A balancer's connection: it says first whose it is. */
  #introduce(conduit: Conduit, facts: Connection): void {
    awaitFirst(conduit, this.limits.headSeconds, (bytes) => {
      const header = readProxyHeader(bytes)
      if (header.kind === 'more') return NOT_YET
      if (header.kind === 'bad') conduit.destroy()
      else {
        conduit.unread(bytes.subarray(header.length))
        this.#welcome(conduit, { ...facts, remoteAddress: header.source ?? facts.remoteAddress })
      }
      return 0
    })
  }

  #welcome(conduit: Conduit, facts: Connection): void {
    const { tls } = this.#options
    if (tls === undefined || !facts.listener.startsWith('tls:')) return this.#begin(conduit, facts)
    awaitFirst(conduit, this.limits.headSeconds, (bytes) => {
      conduit.unread(bytes)
      // a client that speaks plain HTTP here gets an answer that it can show
      if (bytes[0] !== TLS_HANDSHAKE) this.#begin(conduit, facts, NOT_TLS)
      else
        tls.secure(release(conduit), (socket, shown) => {
          this.#begin(adoptPlain(socket), { ...facts, ...shown })
        })
      return 0
    })
    conduit.flow()
  }

  #begin(conduit: Conduit, facts: Connection, objection?: Failure): void {
    facts.end = () => conduit.reset()
    const connection = new H1Connection(conduit, facts, this, objection)
    this.#connections.add(connection)
    const before = conduit.onGone
    conduit.onGone = () => {
      this.#connections.delete(connection)
      facts.isGone = true
      for (const tell of facts.whenGone) tell()
      before?.()
    }
    conduit.flow()
  }

  #turnAway(conduit: Conduit, facts: Connection): void {
    const failure = new Failure(this.isDraining ? 'DRAINING' : 'OVERLOADED')
    this.refused(failure, facts, this.newId())
    const isHeard = !facts.listener.startsWith('tls:')
    if (isHeard)
      conduit.say(
        refusal(failure.status, 'GET', `berth: ${failure.message}`, this.apiVersion, true),
      )
    if (isHeard && this.#leaving < MOST_TURNED_AWAY) return this.#showOut(conduit)
    conduit.finish()
    conduit.destroy()
  }

  #showOut(conduit: Conduit): void {
    this.#leaving++
    conduit.onGone = () => {
      this.#leaving--
      this.#closed()
    }
    linger(conduit, TURNED_AWAY)
  }

  readonly #closed = (): void => {
    if (--this.#open === 0) this.#whenEmpty?.()
  }

  readonly #tick = (): void => {
    this.now++
    for (const connection of this.#connections) connection.tick(this.now)
  }

  /**
   * Takes no new work and waits for what is under way: streams go on until they end, `deadlineMs` has passed, or `now`
   * has resolved.
   * @returns how many connections had to be cut
   */
  async drain(deadlineMs: number, now?: Promise<unknown>): Promise<number> {
    this.isDraining = true
    for (const door of this.#doors) door.close()
    for (const connection of this.#connections) connection.drain()
    if (this.#open > 0)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs)
        const finish = (): void => {
          clearTimeout(timer)
          resolve()
        }
        this.#whenEmpty = finish
        void now?.then(finish)
      })
    clearInterval(this.#sweep)
    const cut = this.#open - this.#leaving
    for (const connection of this.#connections) connection.conduit.reset()
    // a process that ends now would close its sockets as if all had been said
    if (cut > 0) await new Promise((resolve) => setTimeout(resolve, 2 * SEND_BEFORE_RESET_MS))
    return cut
  }
}
