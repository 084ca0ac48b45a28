/** `berth explain` and `berth policy show`: what would happen, key by key, before it does. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { until } from '../support/builds.ts'
import { runProgram } from '../support/program.ts'

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))
const FIXTURES = fileURLToPath(new URL('../../fixtures/create/', import.meta.url))
const capture = (name: string): string => join(FIXTURES, `create-${name}.json`)

const BODY = {
  Image: 'busybox',
  Unheard: 1,
  HostConfig: { Memory: 9e12, Binds: ['/home/me/app:/app'], PortBindings: {} },
}
const YAML = `policies:
  narrow: { extends: dedicated, networking: false, rows: { HostConfig.Sysctls: deny } }
plans: { small: { memory: 64m, pids: 50 } }
`

test('a body that passes is explained key by key', async (t) => {
  const dir = t.testdir({ 'body.json': JSON.stringify(BODY), 'berth.yaml': YAML })
  const { exitCode, out } = await runProgram({}, 'explain', join(dir, 'body.json'))
  t.equal(exitCode, 0)
  for (const line of [
    /^confine +Image +"busybox" +-> "busybox"/m,
    /^drop +Unheard .*not known/m,
    /^confine +HostConfig\.Binds +\["\/home\/me\/app:\/app"\]/m,
    /^confine +HostConfig\.Mounts +\(not sent\) +-> \[\{"Type":"volume","Source":"berth-files"/m,
    /^confine +HostConfig\.LogConfig +\(not sent\) .*10m/m,
    /^allowed \(policy 'dedicated'\)$/m,
  ])
    t.match(out, line)
})

test('a body that is refused ends with 1, and says why', async (t) => {
  const { exitCode, out, err } = await runProgram(
    {},
    'explain',
    capture('buildx-0.29.1-buildkit-container'),
  )
  t.equal(exitCode, 1)
  t.match(out, /^REFUSED +HostConfig\.Privileged +true/m)
  t.match(err, /HostConfig\.Privileged = true \(policy 'dedicated'\).*--privileged/)
  t.match(
    await runProgram(
      {},
      'explain',
      '--profile',
      'open',
      capture('buildx-0.29.1-buildkit-container'),
    ),
    { exitCode: 0, out: /allowed \(policy 'open'\)/ },
  )
  const broken = t.testdir({ 'body.json': '{"Image":"a","image":"b"}' })
  t.match(await runProgram({}, 'explain', join(broken, 'body.json')), {
    exitCode: 1,
    err: /spelled Image/,
  })
  t.match(await runProgram({}, 'explain', '/nowhere'), { exitCode: 2, err: /nowhere/ })
  t.match(await runProgram({}, 'explain', '--profile', 'mine', '/nowhere'), {
    exitCode: 2,
    err: /no policy called "mine"; there are dedicated, shared, open/,
  })
})

test('programs are answered in JSON', async (t) => {
  const passed = await runProgram({}, 'explain', '--json', capture('cli-28.2.2-run-noopts'))
  t.match(JSON.parse(passed.out), {
    policy: 'dedicated',
    refused: null,
    sent: { Image: 'busybox', HostConfig: { LogConfig: { Type: 'json-file' } } },
  })
  const refused = await runProgram({}, 'explain', '--json', capture('cli-28.2.2-run-manyopts'))
  t.equal(refused.exitCode, 1)
  const said = JSON.parse(refused.out)
  t.match(said, { refused: /CapAdd/, sent: null })
  t.match(
    said.decisions.find(({ refused }: { refused: boolean }) => refused),
    { path: 'HostConfig.CapAdd[0]', value: '"CAP_NET_ADMIN"', verdict: 'confine' },
  )
})

test('a tenant is explained by his policy and his plan', async (t) => {
  const dir = t.testdir({ 'body.json': JSON.stringify(BODY), 'berth.yaml': YAML })
  const where = ['--config', join(dir, 'berth.yaml'), '--state', join(dir, 'state')]
  const added = await runProgram(
    {},
    'tenant',
    'add',
    'alice',
    '--policy',
    'narrow',
    '--plan',
    'small',
    ...where,
  )
  t.equal(added.exitCode, 0, added.err)
  const { exitCode, out } = await runProgram(
    {},
    'explain',
    '--tenant',
    'alice',
    ...where,
    join(dir, 'body.json'),
  )
  t.equal(exitCode, 0)
  t.match(out, /^clamp +HostConfig\.Memory +9000000000000 +-> 67108864/m)
  t.match(out, /^confine +HostConfig\.NetworkMode +\(not sent\) +-> "none"/m)
  t.match(out, /"Source":"berth-files-/)
  t.match(out, /allowed \(policy 'narrow'\)/)
  t.match(await runProgram({}, 'explain', '--tenant', 'bob', ...where, join(dir, 'body.json')), {
    exitCode: 1,
    err: /no such tenant/,
  })
  t.match(await runProgram({}, 'policy', 'show', '--tenant', 'alice', ...where), {
    exitCode: 0,
    out: /^HostConfig\.Sysctls +deny +\*/m,
  })
})

test('policy show prints every rule as it holds', async (t) => {
  const dedicated = await runProgram({}, 'policy', 'show')
  t.match(dedicated.out, /^HostConfig\.Privileged +deny +it hands over every device.*--privileged/m)
  t.match(dedicated.out, /^exec\.Privileged +deny/m)
  t.match(dedicated.out, /^route swarm +deny/m)
  t.match(dedicated.out, /policy 'dedicated', profile 'dedicated'/)
  const open = await runProgram({}, 'policy', 'show', '--profile', 'open', '--json')
  const { rules } = JSON.parse(open.out)
  t.match(
    rules.find(({ path }: { path: string }) => path === 'HostConfig.Privileged'),
    { verdict: 'allow' },
  )
  t.ok(rules.length > 200, `${rules.length} rules`)
  const dir = t.testdir({
    'berth.yaml': 'policies: { mine: { rows: { HostConfig.Privilegd: deny } } }',
  })
  t.match(await runProgram({}, 'policy', 'show', '--config', join(dir, 'berth.yaml')), {
    exitCode: 2,
    err: /policies\.mine\.rows: there is no key "HostConfig\.Privilegd"/,
  })
})

test('as a process it reads standard input and ends with the right code', async (t) => {
  const explain = (input: string) =>
    spawnSync(process.execPath, [MAIN, 'explain', '-'], { input, encoding: 'utf8' })
  t.match(explain('{"Image":"a"}'), { status: 0, stdout: /^allowed/m })
  t.match(explain('{"Image":"a","HostConfig":{"PidMode":"host"}}'), {
    status: 1,
    stderr: /HostConfig\.PidMode/,
  })
})

test('a command that waits for its input ends at a signal, as others do', async (t) => {
  const pipe = join(t.testdir({}), 'pipe')
  execFileSync('mkfifo', [pipe])
  // without what tap puts into the environment of every child, which listens to signals
  const bare = ['-i', process.execPath, MAIN, 'explain', pipe]
  const child = spawn('env', bare, { stdio: 'ignore' })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  let writer = -1
  await until('it reads', async () => {
    try {
      writer = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK)
      return true
    } catch {
      return false // nobody has it open
    }
  })
  t.teardown(() => closeSync(writer))
  child.kill('SIGINT')
  t.same(await ended, [null, 'SIGINT'])
})
