/** Whoever reads the log may go: `berth serve 2>&1 | tee log` and Ctrl-C, a collector that dies. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { rawClient } from '../support/raw-client.ts'
import { answerWith, RecordingEngine } from '../support/recording-engine.ts'

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))

test('a drain waits for what is under way, also where nobody reads the log any more', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answerWith('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n')
  const flags = ['--anonymous', '--engine', engine.url, '--listen', 'tcp://127.0.0.1:0']
  const child = spawn(process.execPath, [MAIN, 'serve', '--drain-seconds', '20', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [said] = await once(child.stdout, 'data')
  const url = /tcp:\/\/\S+/.exec(String(said))?.[0] ?? ''
  const client = rawClient(t, url).send('GET /v1.51/events HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await client.read(/\r\na\r\n/)
  child.stderr.destroy()
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await new Promise((resolve) => setTimeout(resolve, 500))
  for (const socket of engine.sockets) socket.write('1\r\nb\r\n0\r\n\r\n')
  await client.read(/b\r\n0\r\n\r\n$/)
  t.same(await ended, [0, null])
})
