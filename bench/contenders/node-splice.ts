/** What a splice costs where Node's own streams make it: node:net, joined with pipe. `node-splice PORT SOCKET_PATH` */
import { connect, createServer } from 'node:net'

const [port, socketPath] = process.argv.slice(2) as [string, string]

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const engine = connect({ path: socketPath, allowHalfOpen: true })
  client.on('error', () => engine.destroy())
  engine.on('error', () => client.destroy())
  client.on('close', () => engine.destroy())
  engine.on('close', () => client.destroy())
  client.pipe(engine).pipe(client)
})

server.listen(Number(port), '127.0.0.1', 4096)
