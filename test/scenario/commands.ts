/** Every everyday docker command ends through berth as it does without it: same output, same exit code. */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { docker, type Host, type Ran, startDocker } from '../../fixtures/docker.ts'
import { alike, sortLines, startPair, succeed } from '../support/docker.ts'

/** Commands that leave the engine as it was. */
const COMMANDS: readonly (readonly string[])[] = [
  ['version'],
  ['info'],
  ['ps', '--all', '--size', '--no-trunc'],
  ['ps', '--filter', 'status=running', '--filter', 'label=a=b c'],
  ['ps', '--filter', 'nonsense=1'],
  ['images', '--digests'],
  ['history', '--no-trunc', 'busybox'],
  ['inspect', 'busybox'],
  ['inspect', 'no-such-thing'],
  ['network', 'ls'],
  ['network', 'inspect', 'none'],
  ['volume', 'ls'],
  ['system', 'df', '--verbose'],
  ['run', '--rm', 'busybox', 'echo', 'hi'],
  ['run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3'],
  ['run', '--rm', 'busybox', 'no-such-command'],
  ['run', '--rm', '--pull', 'never', 'no-such-image'],
  ['run', '--rm', '--memory', '1', 'busybox'],
  [
    'run',
    '--rm',
    '--init',
    '--user',
    'nobody',
    '--workdir',
    '/tmp',
    'busybox',
    'sh',
    '-c',
    'id; pwd',
  ],
  ['run', '--rm', '--network', 'none', '--hostname', 'h', '--env', 'A=b c', 'busybox', 'env'],
  ['logs', 'no-such-container'],
  ['exec', 'no-such-container', 'true'],
]

test('commands that change nothing', async (t) => {
  const pair = await startPair(t)
  for (const command of COMMANDS) {
    await alike(t, pair, `docker ${command.join(' ')}`, (host) => docker(host, command))
  }
})

test('the life of a container', async (t) => {
  const pair = await startPair(t)
  const folder = t.testdir()

  const start = (host: Host, name: string, script = 'exec sleep 1000') =>
    succeed(host, ['run', '--detach', '--init', '--name', name, 'busybox', 'sh', '-c', script])

  await alike(
    t,
    pair,
    'a container is started, looked at, changed and removed',
    async (host, name) => {
      const says: (Ran | string)[] = []
      const say = async (...args: string[]) => says.push(await docker(host, args))
      await succeed(host, ['create', '--name', name, 'busybox', 'sleep', '1000'])
      await say('start', name)
      await say('ps', '--filter', `name=${name}`)
      await say('port', `no-${name}`)
      await say('update', '--memory', '64m', '--memory-swap', '64m', name)
      await say('inspect', '--format', '{{.HostConfig.Memory}} {{.State.Status}}', name)
      await say('pause', name)
      await say('ps', '--format', '{{.Names}} {{.State}}')
      await say('unpause', name)
      await say('rename', name, `${name}-2`)
      await say('restart', '--time', '0', `${name}-2`)
      await say('kill', '--signal', 'KILL', `${name}-2`)
      await say('wait', `${name}-2`)
      await say('rm', `${name}-2`)
      await say('rm', `${name}-2`)
      return says
    },
  )

  await alike(t, pair, 'exec', async (host, name) => {
    await start(host, name)
    const says: (Ran | string)[] = []
    const say = async (...args: string[]) => says.push(await docker(host, ['exec', ...args]))
    await say(name, 'echo', 'hi')
    await say(name, 'sh', '-c', 'echo out; echo err >&2; exit 5')
    await say(
      '--user',
      'nobody',
      '--workdir',
      '/tmp',
      '--env',
      'A=1',
      name,
      'sh',
      '-c',
      'id; pwd; echo $A',
    )
    await say('--detach', name, 'touch', '/tmp/detached')
    await say(name, 'no-such-command')
    await say('--interactive', name, 'cat')
    await say(name, 'ls', '/tmp')
    says.push(
      sortLines(await succeed(host, ['diff', name])),
      await succeed(host, ['top', name, '-o', 'pid,comm']),
    )
    await succeed(host, ['rm', '--force', name])
    return says.map((said) => (typeof said === 'string' ? said.replace(/\d+/g, 'PID') : said))
  })

  await alike(t, pair, 'logs, followed to the end, and wait', async (host, name) => {
    await start(host, name, 'for i in 1 2 3; do echo $i; echo -$i >&2; sleep 0.2; done; exit 7')
    const [followed, waited] = await Promise.all([
      docker(host, ['logs', '--follow', name]),
      docker(host, ['wait', name]),
    ])
    const last = await docker(host, ['logs', '--tail', '2', '--timestamps', name])
    await succeed(host, ['rm', name])
    return { followed, waited, last }
  })

  await alike(t, pair, 'events, coming and past', async (host, name) => {
    const since = ['--since', String(Date.now() / 1000), '--format', '{{json .Actor}} {{.Action}}']
    const filters = ['--filter', `container=${name}`, '--filter', `container=${name}-2`]
    const events = await startDocker(host, ['events', ...since, ...filters])
    await succeed(host, ['run', '--name', name, 'busybox', 'true'])
    await docker(host, ['run', '--name', `${name}-2`, 'busybox', 'false'])
    await succeed(host, ['rm', name])
    await succeed(host, ['rm', `${name}-2`])
    let live = ''
    for await (const chunk of events.stdout) {
      live += chunk
      if (live.split('destroy').length > 2) break
    }
    events.kill()
    const until = ['--until', String(Date.now() / 1000)]
    return { live, past: await docker(host, ['events', ...since, ...until, ...filters]) }
  })

  await alike(t, pair, 'stats, once and followed', async (host, name) => {
    await start(host, name)
    const once = await docker(host, [
      'stats',
      '--no-stream',
      '--format',
      '{{.Name}} {{.PIDs}}',
      name,
    ])
    const stats = await startDocker(host, ['stats', '--format', '{{.Name}}', name])
    let refreshes = 0
    for await (const chunk of stats.stdout) {
      refreshes += String(chunk).split(name).length - 1
      if (refreshes > 1) break
    }
    stats.kill()
    await succeed(host, ['rm', '--force', name])
    return once
  })

  await alike(t, pair, 'cp, both ways, of files, folders and archives', async (host, name) => {
    await start(host, name)
    const file = join(folder, `${name}.in`)
    const back = join(folder, `${name}.out`)
    const bytes = randomBytes(3_000_000)
    await writeFile(file, bytes)
    const into = await docker(host, ['cp', file, `${name}:/tmp/file`])
    const out = await docker(host, ['cp', `${name}:/tmp/file`, back])
    t.ok(bytes.equals(await readFile(back)), 'what went in came back')
    const archive = await succeed(host, ['cp', `${name}:/etc`, '-'])
    const piped = await docker(host, ['cp', '-', `${name}:/tmp`], { input: archive })
    const listed = await docker(host, ['exec', name, 'ls', '-R', '/tmp'])
    const missing = await docker(host, ['cp', `${name}:/no-such-file`, back])
    const exported = await succeed(host, ['export', name])
    await succeed(host, ['rm', '--force', name])
    return { into, out, piped, listed, missing, exported: exported.length > 1_000_000 }
  })
})

test('everything unused is pruned', async (t) => {
  const pair = await startPair(t)
  await alike(t, pair, 'prune and system df', async (host, name) => {
    await succeed(host, ['network', 'create', '--label', 'a=b', name])
    await succeed(host, ['volume', 'create', name])
    await succeed(host, [
      'run',
      '--name',
      name,
      '--network',
      name,
      '-v',
      `${name}:/data`,
      'busybox',
      'touch',
      '/data/file',
      '/file',
    ])
    const says: (Ran | string)[] = []
    for (const kind of [
      'system df',
      'container prune -f',
      'volume prune -af',
      'network prune -f',
      'image prune -f',
      'builder prune -f',
      'system prune -f',
      'system df -v',
    ]) {
      says.push(kind, await docker(host, kind.split(' ')))
    }
    return says
  })
})
