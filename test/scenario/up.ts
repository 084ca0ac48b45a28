/** `berth up` where no engine runs: it brings one, and takes it along however it ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { docker } from '../../fixtures/docker.ts'
import { engineFolder } from '../../fixtures/engine.ts'
import { until } from '../support/builds.ts'

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))
/**
 * A network of its own, and nothing at /var/run/docker.sock; and without what tap puts into the environment of every
 * child, which listens to signals.
 */
const ALONE = 'mount -t tmpfs tmpfs /run && ip link set lo up && unset NODE_OPTIONS && exec "$@"'

interface Up {
  readonly child: ChildProcess
  readonly url: string
  /** Of its engine, once it is started. */
  readonly pidFile: string
}

/** In a process group of its own, as a shell starts a command. */
const startUp = async (t: Test): Promise<Up> => {
  await engineFolder()
  const state = mkdtempSync(join(tmpdir(), 'berth-up-'))
  const url = `unix://${state}/berth.sock`
  const command = [process.execPath, MAIN, 'up', '--listen', url]
  const alone = ['--net', '--mount', 'sh', '-c', ALONE, 'sh']
  const child = spawn('unshare', [...alone, ...command], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, BERTH_STATE: state },
  })
  t.teardown(() => rmSync(state, { recursive: true, force: true }))
  return { child, url, pidFile: join(state, 'engine', 'pid') }
}

const ready = async ({ child }: Up): Promise<void> => {
  let said = ''
  for await (const chunk of child.stdout!) {
    said += chunk
    if (/^DOCKER_HOST=/m.test(said)) return
  }
  throw new Error(`it ended, having said:\n${said}`)
}

const enginePid = ({ pidFile }: Up): number => Number(readFileSync(pidFile, 'utf8'))

const lives = (pid: number): boolean => {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

test('Ctrl-C ends the engine and what runs in it, and then berth', async (t) => {
  const up = await startUp(t)
  await ready(up)
  const ran = await docker(up, ['run', '--detach', '--init', 'busybox', 'sleep', '1000'])
  t.match(ran, { code: 0 })
  const engine = enginePid(up)
  const ended = once(up.child, 'exit')
  process.kill(-up.child.pid!, 'SIGINT')
  t.same(await ended, [0, null])
  t.notOk(lives(engine), 'the engine ended before berth did')
})

test('the engine of a berth that was killed ends too', async (t) => {
  const up = await startUp(t)
  await ready(up)
  const engine = enginePid(up)
  t.ok(lives(engine))
  up.child.kill('SIGKILL')
  await until('the end of the engine', async () => !lives(engine))
})

test('Ctrl-C while the engine starts leaves nothing behind', async (t) => {
  const up = await startUp(t)
  await until('the start of the engine', async () => existsSync(up.pidFile))
  const engine = enginePid(up)
  const ended = once(up.child, 'exit')
  process.kill(-up.child.pid!, 'SIGINT')
  t.same(await ended, [null, 'SIGINT'])
  await until('the end of the engine', async () => !lives(engine))
})
