/** Watches the frames of one HTTP/2 connection for the floods that the protocol permits and no client needs. */
import { FLAG, FRAME, type FrameHead, FrameScanner } from './h2-frames.ts'

/** RFC 9113 7. */
export const H2_ERROR = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  SETTINGS_TIMEOUT: 4,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  ENHANCE_YOUR_CALM: 11,
  HTTP_1_1_REQUIRED: 13,
} as const

/** Tokens that come back with time. */
interface Rate {
  readonly burst: number
  readonly perSecond: number
}

/** Beside each limit: what others chose, and what it was chosen against. */
export const H2_LIMITS = {
  /** RFC 9113 6.5.2 advises 100 at least; HAProxy 100, nginx 128, Go 250. */
  concurrentStreams: 100,
  /** Then GOAWAY without an error, and the client opens another connection: nginx 1000 (keepalive_requests). */
  totalStreams: 4096,
  /** Encoded bytes of one header block: nghttp2 and nginx 32 KiB to 64 KiB, Go 1 MiB (CVE-2024-27316, CVE-2023-45288). */
  headerBlockBytes: 65536,
  /** CONTINUATION frames of one header block: nghttp2 8 since CVE-2024-28182. */
  continuations: 8,
  /** Fields of one header list, crumbs of cookies included: as on HTTP/1.1 (wire), and four pseudo-header fields. */
  headerPairs: 104,
  /** Decoded bytes of one header list, counted as RFC 9113 6.5.2 does: what an HPACK bomb blows up. */
  headerListBytes: 65536,
  /**
   * Streams reset by the client (CVE-2023-44487, rapid reset) or, for what it sent, by this side (CVE-2025-8671,
   * MadeYouReset): nghttp2 1000 and 33 a second, Go four times its concurrent streams.
   */
  resets: { burst: 100, perSecond: 20 },
  /**
   * Frames that carry nothing, beyond what real traffic gives cause for (CVE-2019-9511 to -9518): nginx compares
   * bytes of payload with all bytes, HAProxy counts glitches, grpc-go forgives pings after each frame that it sends.
   */
  glitches: { burst: 200, perSecond: 50 },
} as const

/** Control frames that one frame of ours may bring back: window updates for stream and connection, a ping, and one to spare. */
const CREDIT_A_FRAME = 4
const MAX_CREDIT = 4096

/** A header list that is too large is decoded to its end all the same, or the next one could not be. */
const RESETS_A_BOMB = 25

/** Why a connection has to end. */
export interface Abuse {
  readonly code: number
  readonly reason: string
}

class Bucket {
  readonly #rate: Rate
  #tokens: number
  #at = 0

  constructor(rate: Rate) {
    this.#rate = rate
    this.#tokens = rate.burst
  }

  /** Takes tokens, at `now` in milliseconds; false when there are not so many. */
  take(now: number, count = 1): boolean {
    const { burst, perSecond } = this.#rate
    if (this.#at !== 0)
      this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) * perSecond) / 1000)
    this.#at = now
    if (this.#tokens < count) return false
    this.#tokens -= count
    return true
  }
}

export class H2Guard {
  /** The first limit that was broken. */
  abuse: Abuse | undefined
  /** Since when a header block has been incomplete, in milliseconds; 0 while none is. */
  blockSince = 0
  /** The client has sent a GOAWAY. */
  isLeaving = false
  /** A GOAWAY has been sent to it. */
  hasDismissed = false
  readonly #incoming = new FrameScanner((head) => this.#received(head))
  readonly #outgoing = new FrameScanner((head) => this.#sent(head))
  readonly #resets = new Bucket(H2_LIMITS.resets)
  readonly #glitches = new Bucket(H2_LIMITS.glitches)
  #credit = 0
  #blockBytes = 0
  #continuations = 0
  #now = 0

  /** Bytes from the client, behind the preface; `now` in milliseconds. */
  received(bytes: Buffer, now: number): void {
    if (this.abuse !== undefined) return
    this.#now = now
    this.#incoming.take(bytes)
  }

  /** Bytes to the client. */
  sent(bytes: Buffer, now: number): void {
    this.#now = now
    this.#outgoing.take(bytes)
  }

  #received(head: FrameHead): boolean {
    switch (head.type) {
      case FRAME.HEADERS:
        this.#blockBytes = 0
        this.#continuations = 0
        this.#block(head)
        break
      case FRAME.CONTINUATION:
        if (++this.#continuations > H2_LIMITS.continuations) this.#stop('CONTINUATION flood')
        this.#block(head)
        break
      case FRAME.RST_STREAM:
        this.#reset('rapid reset')
        break
      case FRAME.GOAWAY:
        this.isLeaving = true
        break
      case FRAME.DATA:
        if (isIdleData(head)) this.#glitch('empty or padded DATA flood')
        break
      default:
        this.#glitch(`${NAMES[head.type] ?? 'unknown frame'} flood`)
    }
    return this.abuse === undefined
  }

  #block({ length, flags }: FrameHead): void {
    this.#blockBytes += length
    if (this.#blockBytes > H2_LIMITS.headerBlockBytes) this.#stop('header block too large')
    const isWhole = (flags & FLAG.END_HEADERS) !== 0
    this.blockSince = isWhole ? 0 : this.blockSince || this.#now
  }

  #sent({ type, errorCode }: FrameHead): boolean {
    if (type === FRAME.DATA || type === FRAME.HEADERS)
      this.#credit = Math.min(MAX_CREDIT, this.#credit + CREDIT_A_FRAME)
    else if (type === FRAME.GOAWAY) this.hasDismissed = true
    else if (type === FRAME.RST_STREAM && errorCode === H2_ERROR.ENHANCE_YOUR_CALM)
      this.#reset('one header list after the other that is too large', RESETS_A_BOMB)
    else if (type === FRAME.RST_STREAM && errorCode !== H2_ERROR.NO_ERROR)
      this.#reset('one stream after the other that has to be reset')
    return true
  }

  #reset(reason: string, count = 1): void {
    if (!this.#resets.take(this.#now, count)) this.#stop(reason)
  }

  #glitch(reason: string): void {
    if (this.#credit > 0) this.#credit--
    else if (!this.#glitches.take(this.#now)) this.#stop(reason)
  }

  #stop(reason: string): void {
    this.abuse ??= { code: H2_ERROR.ENHANCE_YOUR_CALM, reason }
  }
}

/** Nothing in it but the effort: empty without being the last, or padded, which no client of an engine does. */
const isIdleData = ({ length, flags }: FrameHead): boolean =>
  (length === 0 && (flags & FLAG.END_STREAM) === 0) || (flags & FLAG.PADDED) !== 0

const NAMES: Readonly<Record<number, string>> = {
  [FRAME.PRIORITY]: 'PRIORITY',
  [FRAME.SETTINGS]: 'SETTINGS',
  [FRAME.PING]: 'PING',
  [FRAME.WINDOW_UPDATE]: 'WINDOW_UPDATE',
}
