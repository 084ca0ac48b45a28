/** One socket as a source and a sink of bytes: back-pressure, half-close and reset in one place for both legs. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { getSystemErrorName } from 'node:util'
import {
  type Bench,
  benchFor,
  borrow,
  FIRST_BYTES,
  giveBack,
  isTight,
  pinned,
  SCRATCH_BYTES,
  sharedBuffer,
  View,
} from './buffers.ts'
import type { Draft } from './draft.ts'
import { canWrite, isOpen, QUEUED, TAKEN, type Writer, write } from './handle.ts'

/** Who gets what a conduit reads. A conduit has one receiver at a time; it changes as a connection moves on. */
export interface Receiver {
  /** Bytes came. They are lent: after this call they are gone, unless they were passed to `forward` or copied. */
  received(bytes: Buffer, from: Conduit): void
  /** The peer has half-closed: no more bytes will come, but it may still read. */
  ended(from: Conduit): void
  /** The connection is gone in both directions; `error` unless both sides had ended it. */
  gone(from: Conduit, error: Error | undefined): void
}

/** How long a reset waits for a slow reader to take what is queued for it. */
const FLUSH_BEFORE_RESET_MS = 5000
/** How long it then waits for the kernel to send what it has taken. */
export const SEND_BEFORE_RESET_MS = 50
/** TCP keep-alive: a peer that vanished without a word is noticed within minutes, and NATs keep their mapping. */
export const KEEP_ALIVE_DELAY_MS = 30_000

/** Nobody listens any more; what still comes is thrown away. */
export const NOBODY: Receiver = { received() {}, ended() {}, gone() {} }

/** The `onread` half of a socket's options: where reads go, and who hears of them. */
export interface ReadOptions {
  readonly buffer: () => Buffer
  /** Called on the socket. */
  readonly callback: (this: Socket, count: number, buffer: Buffer) => boolean
}

/** How a socket finds its conduit. Listeners are shared by all sockets: of one's own, they would be half of what a conduit weighs. */
const CONDUIT = Symbol('conduit')
type Owned = Socket & { [CONDUIT]?: Conduit }

function onRead(this: Owned, count: number, buffer: Buffer): boolean {
  return this[CONDUIT]?.heardBytes(count, buffer) ?? true
}
function onData(this: Owned, bytes: Buffer): void {
  const conduit = this[CONDUIT]
  conduit?.receiver.received(bytes, conduit)
}
function onEnd(this: Owned): void {
  this[CONDUIT]?.heardEnd()
}
function onError(this: Owned, error: Error): void {
  this[CONDUIT]?.heardError(error)
}
function onClose(this: Owned): void {
  this[CONDUIT]?.heardClose()
}

export class Conduit implements Writer {
  receiver: Receiver = NOBODY
  socket: Socket
  /** True once the peer's FIN (or close_notify) has been read. */
  hasEnded = false
  /** True once this side has half-closed, or can say nothing more. */
  hasFinished = false
  /** Whether what the peer has said is still read when it listens no more: of one that was asked something. */
  isHeardOut = false
  isGone = false
  /** Called once when the connection is gone, whoever is the receiver by then. */
  onGone: (() => void) | undefined
  /** Stopped by its receiver. */
  #isHeld = false
  /** Stopped by the conduit that it feeds. */
  #isWaiting = false
  /** What the socket was told last. */
  #isPaused = true
  #isDelivering = false
  #endTold = false
  #unread: Buffer | undefined
  /** What is delivered of it just now. */
  #given: Buffer | undefined
  /** The large buffer this stream reads into, while it is fast. */
  #loan: Buffer | undefined
  /** True while a write of `#loan`'s bytes is under way: they may not be read over. */
  #loanIsBusy = false
  /** True where each read brings a buffer of its own, which needs no copy to be kept. */
  readonly #handsOver: boolean
  #lastRead = 0
  readonly #read = new View()
  /** Whether the last read filled its buffer: more was there. */
  #isFull = false
  #isStuck = false
  /** The conduit that waits until this one has taken what it sent. */
  #waiting: Conduit | undefined
  #onTaken: (() => void) | undefined
  #pinned = 0
  /** The copies that writes under way still read from, and where their memory belongs. */
  readonly #kept: { readonly bench: Bench; readonly memory: Buffer }[] = []
  /** Whether writes go past the socket's stream. */
  readonly #isDirect: boolean
  /** Whether what was written from may be written over once the socket says that it has gone: not so below HTTP/2. */
  readonly #isReused: boolean
  /** Until a write finds the socket connected: it may have to wait in the socket's stream. */
  #isConnecting = true
  /** Writes past the stream that the kernel has not taken yet. */
  #queued = 0
  /** Writes through the stream that it has not called back for. */
  #streamed = 0
  /** Why nothing more can be written, while what came before is still read. */
  #loss: Error | undefined
  #isGathering = false
  #isResetting = false
  #resetTimer: NodeJS.Timeout | undefined

  /**
   * @param make builds the socket around this conduit's read options; a socket that ignores them (TLS) is read
   * by its 'data' events instead, and hands over buffers of its own
   */
  constructor(make: (onread: ReadOptions) => { socket: Socket; readsIntoBuffers: boolean }) {
    const { socket, readsIntoBuffers } = make({
      buffer: this.#nextBuffer,
      callback: onRead,
    })
    this.socket = socket
    ;(socket as Owned)[CONDUIT] = this
    this.#handsOver = !readsIntoBuffers
    this.#isDirect = readsIntoBuffers && canWrite(socket)
    this.#isReused = this.#isDirect || socket instanceof TLSSocket
    if (this.#handsOver) socket.on('data', onData)
    socket.on('end', onEnd)
    socket.on('error', onError)
    socket.on('close', onClose)
  }

  // === source ===

  /** Stops reading. What the kernel holds stays there, and the peer is slowed down by TCP. */
  hold(): void {
    this.#isHeld = true
    this.#pause()
  }

  /** Reads on; bytes given back by `unread` come first. A slow sink is still waited for. */
  flow(): void {
    this.#isHeld = false
    this.#deliver()
  }

  #isStopped(): boolean {
    return this.#isHeld || this.#isWaiting
  }

  #pause(): void {
    this.#isPaused = true
    this.socket.pause()
  }

  #resume(): void {
    this.#isPaused = false
    this.socket.resume()
  }

  #deliver(): void {
    if (this.#isDelivering) return // a receiver asked for more: the loop below gives it, without deepening the stack
    this.#isDelivering = true
    while (this.#unread !== undefined && !this.#isStopped()) {
      const bytes = this.#unread
      this.#unread = undefined
      this.#given = bytes
      this.receiver.received(bytes, this)
    }
    this.#given = undefined
    this.#isDelivering = false
    if (this.#isStopped() || this.isGone) return
    if (this.#isPaused) this.#resume()
    this.#tellEnd()
  }

  /** Gives back bytes that were read too far. They are copied, once, and delivered again by the next `flow`; so is the end. */
  unread(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#endTold = false
    const isCopy = bytes.buffer === this.#given?.buffer
    if (this.#unread !== undefined) this.#unread = Buffer.concat([bytes, this.#unread])
    else this.#unread = isCopy ? bytes : Buffer.from(bytes)
  }

  /** True when bytes wait to be delivered. */
  get hasUnread(): boolean {
    return this.#unread !== undefined
  }

  /** Told by the socket, like the three `heard...` below. */
  heardBytes(count: number, buffer: Buffer): boolean {
    this.#lastRead = count
    this.#isFull = count === buffer.length
    this.receiver.received(this.#read.of(buffer, 0, count), this)
    // false makes Node note that the handle reads no more: it is not ours to say that once it was abandoned
    return this.isGone || !this.#isStopped()
  }

  /**
   * Asked after each read for the buffer of the next. A stream works its way up: each buffer that it fills, with a
   * reader that keeps up, earns it the next larger one.
   */
  readonly #nextBuffer = (): Buffer => {
    // held: the next read comes after the loan has gone back
    if (this.#loanIsBusy) return sharedBuffer(false)
    const isBrisk =
      !this.#isStuck &&
      !this.isGone &&
      this.#lastRead >= (this.#isFull ? FIRST_BYTES : SCRATCH_BYTES)
    if (isBrisk && this.#lastRead >= SCRATCH_BYTES) this.#loan ??= borrow()
    else this.#dropLoan()
    return this.#loan ?? sharedBuffer(isBrisk)
  }

  // === sink ===

  #write(piece: string | Uint8Array): void {
    if (!this.#isDirect || this.#isGathering || this.#streamed > 0 || this.#connects())
      return this.#writeToStream(piece)
    const outcome = write(this.socket, piece, this)
    if (outcome === QUEUED) this.#queued++
    else if (outcome !== TAKEN) this.#failWriting(outcome)
  }

  #connects(): boolean {
    if (this.#isConnecting) this.#isConnecting = this.socket.connecting
    return this.#isConnecting
  }

  #writeToStream(piece: string | Uint8Array): void {
    this.#streamed++
    const told = (): void => {
      this.#streamed--
      this.#onWritten()
    }
    if (typeof piece === 'string') this.socket.write(piece, 'latin1', told)
    else this.socket.write(piece, told)
  }

  /** Called when a write that the kernel did not take at once is over. */
  written(error: number): void {
    this.#queued--
    if (error < 0) this.#failWriting(error)
    if (error === 0 || this.#loss !== undefined) this.#onWritten()
  }

  /** RFC 9112 9.5: what was answered before the reset is in the kernel, and is lost where the socket is closed first. */
  #failWriting(error: number): void {
    const code = getSystemErrorName(error)
    const loss = Object.assign(new Error(`write ${code}`), { code, syscall: 'write' })
    if (!this.isHeardOut) return void this.socket.destroy(loss)
    this.hasFinished = true
    this.#loss ??= loss
  }

  /** True when the kernel has taken everything. */
  get isTaken(): boolean {
    return this.#queued === 0 && this.#streamed === 0
  }

  /** Writes text of berth's own (latin1). */
  say(text: string): void {
    if (!this.#isClosedForWriting()) this.#write(text)
  }

  /**
   * Writes a message of berth's own. The kernel nearly always takes it at once, and then its memory serves the next one.
   * TLS keeps every piece for a while, and so does a socket that gathers them.
   */
  sayDraft(draft: Draft): void {
    if (this.#isClosedForWriting()) return
    if (!this.#isDirect || this.#isGathering) return this.#write(Buffer.from(draft.bytes))
    this.#write(draft.bytes)
    if (!this.isTaken) draft.keep()
  }

  /** Writes bytes that are this process's to keep. */
  send(bytes: Uint8Array): void {
    if (!this.#isClosedForWriting()) this.#write(bytes)
  }

  /**
   * Writes what `source` has just delivered, and makes it wait when this side is slow. The next read waits for the
   * write's own callback: below the high-water mark 'drain' never comes, while libuv still holds the pointer.
   * TLS sockets never take anything at once: one is slow when the copy before is still there.
   */
  forward(bytes: Buffer, source: Conduit): void {
    if (this.#isClosedForWriting()) return
    if (source.#ownsLoanOf(bytes)) {
      this.#write(bytes)
      if (this.isTaken) return
      source.#loanIsBusy = true
    } else {
      const bench = source.#handsOver || !this.#isReused ? undefined : benchFor(bytes.length)
      const mayQueue = bench !== undefined && !this.#isDirect && this.isTaken && !isTight()
      this.#write(bench?.copy(bytes) ?? source.#keepable(bytes))
      const isTaken = this.isTaken
      if (!isTaken) this.#pin(bench, bytes.length)
      if (isTaken || mayQueue) {
        source.#isStuck = false
        return
      }
    }
    source.#isStuck = true
    source.#isWaiting = true
    source.#pause()
    this.#waiting = source
  }

  /** Two pieces in one system call. */
  together(pieces: () => void): void {
    this.#isGathering = true
    this.socket.cork()
    pieces()
    this.socket.uncork()
    this.#isGathering = false
  }

  /** Calls back once everything written has been taken by the kernel: at once, as a rule. Not called on a dead conduit. */
  whenTaken(then: () => void): void {
    if (this.isTaken) then()
    else this.#onTaken = then
  }

  /** Delivered bytes as a buffer of their own. */
  #keepable(bytes: Buffer): Buffer {
    return this.#handsOver ? bytes : Buffer.from(bytes)
  }

  #ownsLoanOf(bytes: Buffer): boolean {
    return this.#loan !== undefined && bytes.buffer === this.#loan.buffer
  }

  #isClosedForWriting(): boolean {
    if (this.isGone || this.hasFinished) return true
    return this.#isDirect ? !isOpen(this.socket) : !this.socket.writable
  }

  #onWritten(): void {
    if (!this.isTaken) return
    if (this.#isResetting) this.#resetSoon(SEND_BEFORE_RESET_MS)
    const source = this.#release()
    if (source !== undefined) source.#deliver()
    if (this.#onTaken === undefined) return
    const then = this.#onTaken
    this.#onTaken = undefined
    then()
  }

  /** Everything has been taken, or never will be: the source, which is returned, may go on. */
  #release(): Conduit | undefined {
    this.#unpin()
    const source = this.#waiting
    this.#waiting = undefined
    if (source === undefined) return undefined
    source.#loanIsBusy = false
    source.#isWaiting = false
    source.#dropLoan()
    return source.isGone ? undefined : source
  }

  /** What was just written is still needed: the memory of a bench, or bytes of their own. */
  #pin(bench: Bench | undefined, bytes: number): void {
    if (bench !== undefined) this.#kept.push({ bench, memory: bench.keep() })
    const size = bench?.size ?? bytes
    this.#pinned += size
    pinned(size)
  }

  #unpin(): void {
    if (this.#pinned === 0) return
    pinned(-this.#pinned)
    this.#pinned = 0
    // A conduit that is abandoned leaves its socket alive: what that still writes from is nobody else's. A stream that
    // is destroyed forgets what it was writing, and says that nothing waits, while the socket below may still read it
    const isOver = this.socket.destroyed ? this.#isDirect : this.isTaken
    for (const { bench, memory } of this.#kept) if (isOver) bench.giveBack(memory)
    this.#kept.length = 0
  }

  #dropLoan(): void {
    if (this.#loan === undefined || this.#loanIsBusy) return
    giveBack(this.#loan)
    this.#loan = undefined
  }

  // === ends ===

  /** Lets go of the socket without closing it, and hands over what had not been delivered. Nothing is heard of it here any more. */
  abandon(): Buffer | undefined {
    const { socket } = this
    const rest = this.#unread
    this.#unread = undefined
    this.receiver = NOBODY
    socket.pause()
    socket.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose)
    this.heardClose()
    return rest
  }

  /** Half-closes: FIN over TCP, close_notify over TLS, after everything queued. */
  finish(): void {
    if (this.hasFinished || this.isGone) return
    this.hasFinished = true
    this.socket.end()
  }

  /** Ends both directions at once; the peer sees an orderly end or a reset, as the kernel finds. */
  destroy(): void {
    this.socket.destroy()
  }

  /**
   * Makes the peer see an error, not an end: RST on TCP. A docker client takes FIN in the middle of an exec for
   * success (exit code 0). What is queued for it goes first, here and in the kernel, which throws away at a reset what
   * it has not sent: a client that reads has it by then.
   */
  reset(): void {
    if (this.isGone || this.#isResetting) return
    this.#isResetting = true
    this.hold()
    this.#resetSoon(this.isTaken ? SEND_BEFORE_RESET_MS : FLUSH_BEFORE_RESET_MS)
  }

  #resetSoon(ms: number): void {
    clearTimeout(this.#resetTimer)
    if (!this.isGone) this.#resetTimer = setTimeout(() => this.#resetNow(), ms)
  }

  #resetNow(): void {
    clearTimeout(this.#resetTimer)
    if (this.isGone) return
    // A TLSSocket has no handle that can be reset. Below an accepted one is a socket that has; one that was dialled,
    // and a pipe, can only be destroyed: over TLS that is an error to the peer too, as nobody has said close_notify
    const raw = (this.socket as Socket & { _parent?: Socket })._parent ?? this.socket
    if (raw.remoteAddress === undefined || raw instanceof TLSSocket) this.socket.destroy()
    else raw.resetAndDestroy()
  }

  heardEnd(): void {
    this.hasEnded = true
    if (!this.#isStopped()) this.#tellEnd()
  }

  #tellEnd(): void {
    if (!this.hasEnded || this.#endTold || this.#unread !== undefined) return
    this.#endTold = true
    // the kernel has told the writer of the reset, and tells the reader of an end
    if (this.#loss === undefined) this.receiver.ended(this)
    else this.socket.destroy(this.#loss)
  }

  #error: Error | undefined

  heardError(error: Error): void {
    this.#error = error
  }

  heardClose(): void {
    if (this.isGone) return
    this.isGone = true
    clearTimeout(this.#resetTimer)
    this.#dropLoan()
    const source = this.#release()
    this.receiver.gone(this, this.#error)
    this.receiver = NOBODY
    this.onGone?.()
    // last: whoever was told has decided by now who receives it
    if (source !== undefined && !source.isGone) source.#deliver()
  }
}
