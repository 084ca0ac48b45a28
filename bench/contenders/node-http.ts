/** What a Node programmer writes first: node:http on both sides, joined with pipe. `node-http PORT SOCKET_PATH` */
import { Agent, createServer, request } from 'node:http'

const [port, socketPath] = process.argv.slice(2) as [string, string]
const agent = new Agent({ keepAlive: true, maxFreeSockets: 512 })

const server = createServer((incoming, answer) => {
  const { method, url, headers } = incoming
  const onward = request({ socketPath, method, path: url, headers, agent }, (response) => {
    answer.writeHead(response.statusCode ?? 502, response.rawHeaders)
    answer.flushHeaders()
    response.pipe(answer)
  })
  onward.on('error', () => answer.destroy())
  answer.on('close', () => onward.destroy())
  incoming.pipe(onward)
})

server.on('upgrade', ({ method, url, headers }, client, first) => {
  const onward = request({ socketPath, method, path: url, headers })
  onward.on('upgrade', (response, engine, rest) => {
    const fields = response.rawHeaders.reduce(
      (text, word, i) => text + word + (i % 2 === 0 ? ': ' : '\r\n'),
      '',
    )
    client.write(`HTTP/1.1 101 UPGRADED\r\n${fields}\r\n`)
    client.write(rest)
    engine.write(first)
    client.pipe(engine).pipe(client)
    client.on('error', () => engine.destroy())
    engine.on('error', () => client.destroy())
  })
  onward.on('error', () => client.destroy())
  onward.end()
})

server.keepAliveTimeout = 75_000
server.requestTimeout = 0
server.listen(Number(port), '127.0.0.1')
