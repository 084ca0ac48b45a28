/** Sends a flood from a process of its own, and comes back at once each time it is cut off: `h2-flooder PORT FLOOD FROM`. */
import { connect, type Socket } from 'node:net'
import { ACKNOWLEDGEMENT, FLOODS, type FloodName, GREETING, PIECES_A_SECOND } from './h2-floods.ts'

/** What the parent is told when it says stop. */
export interface Flooded {
  readonly connections: number
  readonly pieces: number
}

const [port, name, from] = process.argv.slice(2)
const { pieces } = FLOODS[name as FloodName]
const MOST_QUEUED = 4 << 20

let connections = 0
let sent = 0
let socket: Socket
let next = 0
let isGreeted = false

/** RFC 9113 3.4: the frames of a client come behind the server's first, which tells of every limit that is to be broken. */
const greet = (): void => {
  connections++
  next = 0
  isGreeted = false
  socket = connect({
    host: '127.0.0.1',
    port: Number(port),
    noDelay: true,
    ...(from !== undefined && { localAddress: from }),
  })
  socket.write(GREETING)
  socket.on('data', () => {
    if (isGreeted) return
    isGreeted = true
    socket.write(ACKNOWLEDGEMENT)
    flood()
  })
  socket.on('error', () => {})
  socket.on('close', () => setImmediate(greet))
}

const flood = (): void => {
  const piece = pieces[next]
  if (!isGreeted || piece === undefined || socket.writableLength > MOST_QUEUED) return
  next++
  sent++
  socket.write(piece)
}

const start = (): void => {
  greet()
  setInterval(flood, 1000 / PIECES_A_SECOND)
}

const stop = (): void => {
  process.send?.({ connections, pieces: sent } satisfies Flooded, () => process.exit())
}

process.on('message', (said) => (said === 'start' ? start() : stop()))
process.on('disconnect', () => process.exit())
process.send?.('ready')
