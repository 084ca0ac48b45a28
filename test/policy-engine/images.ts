/** Images run by where they were pulled from: a name can be given to anything, and that helps nobody. */
import { test } from 'tap'
import { docker, type Ran } from '../../fixtures/docker.ts'
import { createApi } from '../support/api.ts'
import { fence, leavings, startFenced } from '../support/fenced.ts'

const GOOD = '127.0.0.1:5000/good/app:1'
const OTHER = '127.0.0.1:5000/other/app:1'
const STRICT =
  'profile: strict\npolicies: { strict: { images: ["127.0.0.1:5000/good/*"], localImages: false } }'
const LENIENT = 'profile: lenient\npolicies: { lenient: { images: ["127.0.0.1:5000/good/*"] } }'

const succeeds = ({ code, stderr }: Ran): boolean => {
  if (code !== 0) throw new Error(stderr)
  return true
}

test('only what was pulled from an allowed place runs', async (t) => {
  const fenced = await startFenced(t, { registry: true })
  const { engine, direct } = fenced
  // two images, pushed to two places, and gone from the engine
  for (const [name, label] of [
    [GOOD, 'good'],
    [OTHER, 'other'],
  ] as const) {
    await direct.json('POST', '/containers/create?name=made', {
      Image: 'busybox',
      Labels: { label },
    })
    succeeds(await docker(engine, ['commit', 'made', name]))
    succeeds(await docker(engine, ['push', name]))
    succeeds(await docker(engine, ['rm', 'made']))
    succeeds(await docker(engine, ['rmi', name]))
  }
  const url = await fence(t, engine, STRICT)
  const run = (image: string, ...flags: string[]) =>
    docker(url, ['run', '--rm', ...flags, image, 'echo', 'ran'])

  t.match(await docker(url, ['pull', OTHER]), {
    code: 1,
    stderr: /pull.*127\.0\.0\.1:5000\/other\/app:1 does not come/s,
  })
  t.match(await docker(url, ['pull', '--all-tags', '127.0.0.1:5000/other/app']), { code: 1 })
  t.match(await run(GOOD), { code: 0, stdout: 'ran\n' }, 'docker run pulls it, and may then run it')
  t.match(await docker(url, ['pull', GOOD]), { code: 0 }, 'up to date is as good as new')
  t.match(await run(GOOD), { code: 0, stdout: 'ran\n' })

  const local = /Image = "busybox".*was not pulled from a registry.*pull it/s
  t.match(await run('busybox'), { code: 125, stderr: local }, 'what was loaded is local')
  succeeds(await docker(engine, ['tag', 'busybox', '127.0.0.1:5000/good/app:2']))
  t.match(
    await run('127.0.0.1:5000/good/app:2', '--pull', 'never'),
    { code: 125, stderr: /was not pulled/ },
    'a tag makes it no better',
  )
  t.match(await docker(url, ['tag', GOOD, 'mine']), { code: 0 })
  t.match(await run('mine'), { code: 0, stdout: 'ran\n' }, 'nor worse')
  succeeds(await docker(engine, ['pull', OTHER]))
  t.match(
    await run(OTHER, '--pull', 'never'),
    { code: 125, stderr: /was not pulled/ },
    'berth has not seen that pull',
  )

  const { Id } = await direct.json<{ Id: string }>('GET', `/images/${GOOD}/json`)
  t.match(await run(Id), { code: 0 }, 'by its id')
  const mount = (source: string) =>
    docker(url, ['run', '--rm', '--mount', `type=image,source=${source},target=/i`, GOOD, 'true'])
  t.match(await mount('busybox'), { code: 125, stderr: /Mounts names "busybox".*by its id/s })
  t.match(await mount(GOOD), { code: 125, stderr: /by its id/ })
  t.match(await mount(Id), { code: 0 })
  t.match(await docker(url, ['build', '-'], { input: 'FROM busybox\n' }), {
    code: 1,
    stderr: /a build runs whatever images/,
  })

  // a pull that fails vouches for nothing, though an image of that name is there
  succeeds(await docker(engine, ['tag', 'busybox', '127.0.0.1:5000/good/gone:1']))
  t.match(await docker(url, ['pull', '127.0.0.1:5000/good/gone:1']), { code: 1 })
  t.match(await run('127.0.0.1:5000/good/gone:1', '--pull', 'never'), {
    code: 125,
    stderr: /was not pulled/,
  })

  // a container that its create has not judged: an operator's, or one whose client did not stay for the answer
  await direct.json('POST', '/containers/create?name=planted', { Image: 'busybox', Cmd: ['true'] })
  for (const verb of ['start', 'restart'])
    t.match(await docker(url, [verb, 'planted']), { code: 1, stderr: local }, verb)
  succeeds(await docker(engine, ['start', '--attach', 'planted']))
  t.match(await docker(url, ['restart', 'planted']), { code: 0 }, 'what has run may run again')
  t.match(await docker(url, ['start', 'nobody']), { code: 1, stderr: /No such container: nobody/ })
  succeeds(await docker(url, ['create', '--name', 'later', GOOD, 'true']))
  t.match(await docker(url, ['start', 'later']), { code: 0 })
  succeeds(await docker(engine, ['rm', '--force', 'planted', 'later']))

  const lenient = await fence(t, engine, LENIENT)
  t.match(
    await docker(lenient, ['run', '--rm', 'busybox', 'echo', 'ran']),
    { code: 0 },
    'local images may be allowed',
  )
  t.match(await docker(lenient, ['pull', OTHER]), { code: 1 }, 'and others still not pulled')
  t.strictSame(
    (await leavings(fenced)).filter((name) => name.startsWith('/')),
    [],
    'no container is left',
  )
})

test('a tag that moves between check and use is seen', async (t) => {
  const { engine, direct } = await startFenced(t, { registry: true })
  await direct.json('POST', '/containers/create?name=made', {
    Image: 'busybox',
    Labels: { a: 'b' },
  })
  succeeds(await docker(engine, ['commit', 'made', GOOD]))
  succeeds(await docker(engine, ['push', GOOD]))
  succeeds(await docker(engine, ['rm', 'made']))
  const url = await fence(t, engine, STRICT)
  succeeds(await docker(url, ['pull', GOOD]))
  const through = createApi(url)
  t.teardown(() => through.close())
  const [good, bad] = [GOOD, 'busybox'].map((name) => encodeURIComponent(name))
  const repository = encodeURIComponent('127.0.0.1:5000/x')
  let isOver = false
  const moving = (async () => {
    while (!isOver)
      for (const image of [good, bad])
        await direct.call('POST', `/images/${image}/tag?repo=${repository}&tag=1`)
  })()
  const seen = new Map<number, number>()
  for (let at = 0; at < 60; at++) {
    const { status } = await through.call('POST', '/containers/create', {
      Image: '127.0.0.1:5000/x:1',
      Cmd: ['true'],
    })
    seen.set(status, (seen.get(status) ?? 0) + 1)
  }
  isOver = true
  await moving
  const { Id } = await direct.json<{ Id: string }>('GET', `/images/${good}/json`)
  const containers = await direct.json<{ ImageID: string }[]>('GET', '/containers/json?all=1')
  t.ok(containers.length > 0 && (seen.get(403) ?? 0) > 0, JSON.stringify([...seen]))
  t.ok(
    containers.every(({ ImageID }) => ImageID === Id),
    'what is left was made of the good one',
  )
})
