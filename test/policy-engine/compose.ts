/** Compose files as people have them come up and go down under `dedicated`. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { docker } from '../../fixtures/docker.ts'
import { succeed } from '../support/docker.ts'
import { leavings, startFenced } from '../support/fenced.ts'

const FILES = fileURLToPath(new URL('../../fixtures/compose/', import.meta.url))

/** How many containers run once it is up. */
const RUNNING: Readonly<Record<string, number>> = {
  'batch.yaml': 0,
  'broker.yaml': 8,
  'edge.yaml': 4,
  'gitlab.yaml': 2,
  'monitoring.yaml': 4,
  'web-db.yaml': 3,
}

test('real applications come up under dedicated', async (t) => {
  const fenced = await startFenced(t)
  const { engine, url } = fenced
  t.strictSame(readdirSync(FILES).toSorted(), Object.keys(RUNNING))
  const env = { TOKEN: 'secret' }
  for (const [file, running] of Object.entries(RUNNING)) {
    const project = [
      'compose',
      '--progress',
      'quiet',
      '-f',
      join(FILES, file),
      '-p',
      file.split('.')[0]!,
    ]
    const images = await succeed(url, [...project, 'config', '--images'], { env })
    for (const image of new Set(images.trim().split('\n')))
      await succeed(engine, ['tag', 'busybox', image])
    const before = await leavings(fenced)
    const up = await docker(url, [...project, 'up', '--detach', '--pull', 'never'], { env })
    t.equal(up.code, 0, `${file}: ${up.stderr}`)
    const ids = await succeed(url, [...project, 'ps', '--quiet'], { env })
    t.equal(ids.trim().split('\n').filter(Boolean).length, running, file)
    if (file === 'batch.yaml')
      t.match(
        await succeed(url, [...project, 'logs', '--no-log-prefix', 'report'], { env }),
        /^done$/m,
      )
    const again = await docker(url, [...project, 'up', '--detach', '--pull', 'never'], { env })
    t.equal(again.code, 0, 'again it changes nothing')
    if (running > 0) t.equal(await succeed(url, [...project, 'ps', '--quiet'], { env }), ids, file)
    const down = await docker(url, [...project, 'down', '--volumes', '--timeout', '1'], { env })
    t.equal(down.code, 0, down.stderr)
    const left = (await leavings(fenced)).filter((name) => !before.includes(name))
    t.strictSame(
      left.filter((name) => name !== 'volume berth-files'),
      [],
      file,
    )
  }
})
