/** What the operator offers to everybody stays as it is: whatever API a tenant speaks, and by whatever way he mounts it. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { Release } from '../../fixtures/engine.ts'
import { startFenced } from '../support/fenced.ts'

/** By release: the oldest that a shared mount can be had by, one before read-only went all the way down, the newest. */
const VERSIONS: Readonly<Record<Release, readonly string[]>> = {
  current: ['v1.40', 'v1.43', 'v1.51'],
  old: ['v1.40', 'v1.41'],
}

/** A folder with a file, and a file system mounted below it. */
const shareWithMount = (t: Test): string => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-shared-'))
  const below = join(folder, 'below')
  mkdirSync(below)
  writeFileSync(join(folder, 'model'), 'weights')
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', below])
  t.teardown(() => {
    execFileSync('umount', [below])
    rmSync(folder, { recursive: true })
  })
  return folder
}

for (const release of ['current', 'old'] satisfies Release[])
  test(`nothing of a shared mount is writable (${release} engine)`, async (t) => {
    const folder = shareWithMount(t)
    const yaml = `profile: mine\npolicies: { mine: { sharedMounts: { models: ${folder} } } }`
    const { through } = await startFenced(t, { release, yaml })
    const run = async (version: string, HostConfig: object): Promise<string> => {
      const script = 'cat /d/model; touch /d/top /d/below/file'
      const body = { Image: 'busybox', Tty: true, Cmd: ['sh', '-c', script], HostConfig }
      const path = `/${version}/containers/create`
      const { Id } = await through.json<{ Id: string }>('POST', path, body)
      await through.json('POST', `/containers/${Id}/start`)
      await through.json('POST', `/containers/${Id}/wait`)
      return (await through.call('GET', `/containers/${Id}/logs?stdout=1`)).body.toString()
    }
    const readOnly = /^weights.*\/d\/top: Read-only file system.*\/d\/below\/file: Read-only/s
    for (const version of VERSIONS[release]) {
      t.match(await run(version, { Binds: ['/berth/models:/d'] }), readOnly, version)
      const name = `donor-${version}`
      const donor = { Image: 'busybox', HostConfig: { Binds: ['/berth/models:/d:rw'] } }
      await through.json('POST', `/${version}/containers/create?name=${name}`, donor)
      t.match(await run(version, { VolumesFrom: [name] }), readOnly, `${version}: handed on`)
    }
    const { status, body } = await through.call('POST', '/v1.39/containers/create', {
      Image: 'busybox',
      HostConfig: { Binds: ['/berth/models:/d'] },
    })
    t.match([status, body.toString()], [403, /before API 1\.40/])
    t.strictSame(readdirSync(join(folder, 'below')), [])
  })
