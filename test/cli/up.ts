/** `berth up`: what it takes from flags, variables and berth.yaml, and which engine it serves. */
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { Berth } from '../../src/cli/berth.ts'
import { up } from '../../src/cli/up.ts'
import { readConfig } from '../../src/config/config.ts'
import { exchanges } from '../../src/observe/events.ts'
import { runProgram } from '../support/program.ts'
import { rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

const LISTEN = ['tcp://127.0.0.1:0']
const PRIVILEGED = '{"Image":"a","HostConfig":{"Privileged":true}}'
const CREATE = `POST /v1.51/containers/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${PRIVILEGED.length}\r\n\r\n${PRIVILEGED}`

/** Brings berth up; it stops with the test. @returns what it said */
const bringUp = async (
  t: Test,
  env: Readonly<Record<string, string>>,
  flags: Record<string, unknown>,
): Promise<string> => {
  let stop: (signal: string) => void = () => {}
  const said: string[] = []
  const signalled = new Promise<string>((resolve) => {
    stop = resolve
  })
  await new Promise<void>((ready, reject) => {
    const out = (line: string): void => {
      said.push(line)
      if (line.startsWith('DOCKER_HOST=')) ready()
    }
    const ended = up({ env, out, err: () => {}, signal: () => signalled }, flags)
    ended.catch(reject)
    t.teardown(() => {
      stop('SIGTERM')
      return ended
    })
  })
  return said.join('\n')
}

/** The status line of a privileged create. */
const create = async (t: Test, said: string): Promise<string> => {
  const url = /^DOCKER_HOST=(.*)$/m.exec(said)?.[1] ?? ''
  const client = rawClient(t, url).send(CREATE)
  await client.read('\r\n\r\n')
  return client.text.split('\r\n')[0] ?? ''
}

test('the profile is open, unless a flag, a variable or a file says otherwise', async (t) => {
  const engine = await RecordingEngine.start(t)
  const text = `engine: ${engine.url}\nprofile: dedicated\nlog: error\nlisten: [${LISTEN}]\n`
  const path = join(t.testdir({ 'berth.yaml': text }), 'berth.yaml')
  const flags = { listen: LISTEN, engine: engine.url, drainSeconds: 0, log: 'error' }
  const allowed = await bringUp(t, {}, flags)
  t.match(allowed, `Docker engine of unknown version at ${engine.url}\n`)
  t.match(await create(t, allowed), / 200 /)
  const rows: readonly (readonly [Readonly<Record<string, string>>, Record<string, unknown>])[] = [
    [{}, { ...flags, profile: 'dedicated' }],
    [{ BERTH_PROFILE: 'dedicated' }, flags],
    [{ BERTH_CONFIG: path }, { drainSeconds: 0 }],
  ]
  for (const [env, given] of rows) {
    const said = await bringUp(t, env, given)
    t.match(said, `at ${engine.url}\n`)
    t.match(await create(t, said), / 403 /, JSON.stringify([env, given]))
  }
})

test('an engine that only tenants have is refused as serve refuses it', async (t) => {
  const file = t.testdir({ 'berth.yaml': 'endpoints: {default: unix:///nowhere}\n' })
  const env = { BERTH_CONFIG: join(file, 'berth.yaml') }
  for (const command of ['up', 'serve --anonymous --listen tcp://127.0.0.1:0'])
    t.match(await runProgram(env, ...command.split(' ')), {
      exitCode: 2,
      err: /^berth: engine: name one/,
    })
})

test('an engine that is no address is refused as serve refuses it', async (t) => {
  for (const command of ['up', 'serve --anonymous --listen tcp://127.0.0.1:0'])
    t.match(await runProgram({}, ...command.split(' '), '--engine', 'nonsense'), {
      exitCode: 2,
      err: /^berth: engine: nonsense: expected unix:\/\/\/PATH, tcp:.* or tls:/,
    })
})

test('of a berth that finds its port taken nothing is left, so that the next one tells things once', async (t) => {
  const engine = await RecordingEngine.start(t)
  const flags = { engine: engine.url, anonymous: true, drainSeconds: 0 }
  const first = await Berth.create(
    readConfig({ env: {}, flags: { ...flags, listen: LISTEN, log: 'silent' } }),
  )
  await first.start()
  t.teardown(() => first.stop())
  const second = await Berth.create(
    readConfig({ env: {}, flags: { ...flags, listen: first.urls, log: 'error' } }),
  )
  t.equal(exchanges.isHeard, true)
  await t.rejects(second.start(), { code: 'EADDRINUSE' })
  t.equal(exchanges.isHeard, false)
})
