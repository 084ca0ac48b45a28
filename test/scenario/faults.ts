/** What clients see when the engine dies, and what the engine keeps when clients do. */
import { type ChildProcess, execFile } from 'node:child_process'
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { docker, type Host, startDocker } from '../../fixtures/docker.ts'
import { openTerminal } from '../../fixtures/terminal.ts'
import { startPair, succeed } from '../support/docker.ts'
import { childrenOf } from '../support/processes.ts'

const run = promisify(execFile)

/**
 * How many connections to the engine berth holds. An engine may keep its half of one that berth closed; ss shows the
 * peer of such a half as 0.
 */
const connections = async (socket: string): Promise<number> => {
  const { stdout } = await run('ss', ['--no-header', '--unix', '--all', 'src', socket])
  return stdout.split('\n').filter((line) => / \* [1-9]\d*\s*$/.test(line)).length
}

const SOON_MS = 1000
/** What a busy machine may need to start three clients and what they start. */
const START_MS = 20_000

/** Asserts that a condition comes true within a second, or whatever is said. */
const soon = async (
  t: Test,
  claim: string,
  holds: () => Promise<boolean>,
  ms = SOON_MS,
): Promise<void> => {
  const deadline = Date.now() + ms
  while (!(await holds()) && Date.now() < deadline) await delay(20)
  t.ok(await holds(), claim)
}

/** The mark of a command that shows nothing before it ends. */
const NOTHING = ''

/** Starts a command and resolves once it has shown `mark`, on either output; its end resolves `ended`. */
const started = async (host: Host, args: readonly string[], mark: string) => {
  const command = await startDocker(host, args)
  let stderr = ''
  const shown = new Promise<void>((resolve) => {
    let all = ''
    const read = (chunk: Buffer): void => {
      all += chunk
      if (all.includes(mark)) resolve()
    }
    command.stdout.on('data', read)
    command.stderr.on('data', read).on('data', (chunk) => {
      stderr += chunk
    })
  })
  const ended = once(command, 'close').then(([code]) => ({ code, stderr }))
  if (mark !== NOTHING) await Promise.race([shown, ended])
  return { command, ended }
}

/** As a machine that loses its power: docker and its plugin at once, so that neither takes leave. */
const kill = ({ pid }: ChildProcess): void => {
  for (const each of [...childrenOf(pid!), pid!]) process.kill(each, 'SIGKILL')
}

const TICKING = ['--init', 'busybox', 'sh', '-c', 'echo ready; exec sleep 1000']

test('the engine is killed', async (t) => {
  const { engine, berth } = await startPair(t)
  await succeed(engine, ['run', '-d', '--name', 'target', ...TICKING])
  const script = ['sh', '-c', 'echo ready; exec sleep 1000']
  const clients = {
    exec: ['exec', 'target', ...script],
    'exec -i': ['exec', '-i', 'target', ...script],
    run: ['run', '--rm', ...TICKING],
    'logs -f': ['logs', '-f', 'target'],
    attach: ['start', '--attach', 'other'],
    events: ['events', '--since', '0'],
  }
  await succeed(engine, ['create', '--name', 'other', ...TICKING])
  const running = new Map<string, Awaited<ReturnType<typeof started>>>()
  for (const [name, args] of Object.entries(clients)) {
    running.set(name, await started(berth, args, name === 'events' ? 'create' : 'ready'))
  }

  await engine.kill()
  for (const [name, { command, ended }] of running) {
    const timer = setTimeout(() => command.kill('SIGKILL'), 5000)
    const { code, stderr } = await ended
    clearTimeout(timer)
    t.ok(code !== null && code > 0, `${name} fails`, { code, stderr })
    t.not(stderr, '', `${name} says why`)
  }

  const refused = await docker(berth, ['ps'])
  t.match(refused, { code: 1, stderr: /Error response from daemon: .*engine/ })

  await engine.restart()
  t.match(await docker(berth, ['ps']), { code: 0 }, 'it is served again when the engine is back')
})

test('an engine that restarts does not fail the next request', async (t) => {
  const { engine, berth } = await startPair(t)
  const { hostname, port } = new URL(berth.url)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const ping = async () => {
    const [answer] = await once(get({ agent, hostname, port, path: '/_ping' }), 'response')
    answer.resume()
    await once(answer, 'end')
    return answer.statusCode
  }
  t.equal(await ping(), 200)
  await engine.restart()
  t.equal(await ping(), 200, 'a kept connection that died is replaced')
})

test('a client that is killed leaves no connection to the engine', async (t) => {
  const { engine, berth } = await startPair(t)
  await succeed(engine, ['run', '-d', '--name', 'target', ...TICKING])
  const context = t.testdir({ Dockerfile: 'FROM busybox\nRUN sleep 1000\n' })
  // How many streams to the engine each of them holds; berth may keep more connections, for the next request.
  const clients: readonly (readonly [streams: number, args: readonly string[], mark: string])[] = [
    [1, ['logs', '-f', 'target'], 'ready'],
    [1, ['events', '--since', '0'], 'create'],
    [1, ['wait', 'target'], NOTHING],
    [1, ['stats', 'target'], 'target'],
    // Its wait may end in good order, with the container, and leave a connection worth keeping.
    [1, ['run', '--rm', '-i', 'busybox', 'sh', '-c', 'echo ready; cat'], 'ready'],
    [2, ['build', '--no-cache', '--progress', 'plain', context], 'RUN sleep 1000'],
  ]
  const TOGETHER = 3
  for (const [streams, args, mark] of clients) {
    const all = await Promise.all(
      Array.from({ length: TOGETHER }, () => started(berth, args, mark)),
    )
    await soon(
      t,
      `docker ${args[0]} is connected`,
      async () => (await connections(engine.socket)) >= TOGETHER * streams,
      START_MS,
    )
    await delay(1000) // whatever else it opens
    const during = await connections(engine.socket)
    for (const { command } of all) kill(command)
    await soon(t, `docker ${args[0]} is not any more`, async () => {
      return (await connections(engine.socket)) <= during - TOGETHER * streams
    })
  }

  const terminal = await openTerminal(berth, ['exec', '-it', 'target', 'sh'])
  terminal.type('echo rea""dy\r')
  await terminal.shows('ready')
  const during = await connections(engine.socket)
  await terminal.close()
  await soon(
    t,
    'docker exec -it is not any more',
    async () => (await connections(engine.socket)) < during,
  )
})
