/** Images go through berth in every way that docker moves them. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { test } from 'tap'
import { docker, type Ran, startDocker } from '../../fixtures/docker.ts'
import { alike, startPair, succeed } from '../support/docker.ts'

test('images', async (t) => {
  const pair = await startPair(t, { registry: true })
  const { engine, berth } = pair
  const folder = t.testdir({ context: { Dockerfile: '', 'a.txt': 'a' } })

  await alike(t, pair, 'tag, push, rmi, pull, inspect', async (host, name) => {
    const image = `127.0.0.1:5000/${name}/app:1`
    const says: Ran[] = []
    const say = async (...args: string[]) => says.push(await docker(host, args))
    await say('tag', 'busybox', image)
    // A layer that the registry has under another name is mounted, not sent.
    const pushed = await docker(host, ['push', image])
    says.push({ ...pushed, stdout: pushed.stdout.replace(/Mounted from \S+/, 'Pushed') })
    await say('rmi', image)
    await say('pull', image)
    await say('pull', '--quiet', image)
    await say('pull', `${image}-none`)
    await say('run', '--rm', '--pull', 'always', '--quiet', image, 'echo', 'hi')
    await say('image', 'inspect', '--format', '{{.RepoTags}} {{.Id}}', image)
    await say('tag', `no-${name}`, 'x')
    await say('rmi', image)
    return says
  })

  await alike(t, pair, 'commit, history, export and import', async (host, name) => {
    const says: Ran[] = []
    const say = async (...args: string[]) => says.push(await docker(host, args))
    await succeed(host, ['run', '--name', name, 'busybox', 'sh', '-c', 'echo data >/file'])
    await say('commit', '--change', 'CMD cat /file', '--message', 'hello', name, name)
    await say('run', '--rm', name)
    await say('history', '--format', '{{.CreatedBy}} {{.Comment}}', name)
    const tar = join(folder, `${name}.tar`)
    await say('export', '--output', tar, name)
    await say('import', '--change', 'CMD cat /file', tar, `${name}-2`)
    await say('run', '--rm', `${name}-2`)
    await say('rm', name)
    await succeed(host, ['rmi', name, `${name}-2`])
    return says
  })

  await alike(t, pair, 'a classic build', async (host, name) => {
    const context = join(folder, 'context')
    await writeFile(
      join(context, 'Dockerfile'),
      'FROM busybox\nARG A=none\nCOPY . /context\nRUN echo $A && ls /context && test "$A" != fail\nLABEL a=b\n',
    )
    const classic = { env: { DOCKER_BUILDKIT: '0' } }
    const build = (...args: string[]) =>
      docker(host, ['build', '--no-cache', '--tag', name, ...args, context], classic)
    const built = await build('--build-arg', 'A=arg')
    const failed = await build('--build-arg', 'A=fail')
    const piped = await docker(host, ['build', '--no-cache', '-'], {
      ...classic,
      input: 'FROM busybox\nRUN true\n',
    })
    const labels = await succeed(host, ['inspect', '--format', '{{.Config.Labels}}', name])
    await succeed(host, ['rmi', name])
    return { built, failed, piped, labels }
  })

  await t.test('256 MB go through save and load, whole', async (t) => {
    const script = 'head -c 128m /dev/zero >/zero; head -c 128m /dev/urandom >/random'
    await succeed(engine, ['run', '--name', 'large', 'busybox', 'sh', '-c', script])
    await succeed(engine, ['commit', 'large', 'large'])
    const id = await succeed(engine, ['inspect', '--format', '{{.Id}}', '--type', 'image', 'large'])
    const archive = join(folder, 'large.tar')
    await succeed(berth, ['save', '--output', archive, 'large'])
    await succeed(engine, ['rm', 'large'])
    await succeed(engine, ['rmi', 'large'])
    // The engine checks each layer against its digest.
    await succeed(berth, ['load', '--input', archive])
    t.equal(await succeed(engine, ['inspect', '--format', '{{.Id}}', 'large']), id)
  })

  await t.test('save | load, both through berth at once', async (t) => {
    const save = await startDocker(berth, ['save', 'large'])
    const load = await startDocker(berth, ['load'])
    const [loaded, [code]] = await Promise.all([
      text(load.stdout),
      once(load, 'close'),
      pipeline(save.stdout, load.stdin),
    ])
    t.equal(loaded, 'Loaded image: large:latest\n')
    t.equal(code, 0)
  })
})
