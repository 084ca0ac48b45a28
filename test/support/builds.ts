/** What tests of builds have in common: folders to build, and ways to learn what an engine is doing. */
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import type { Engine } from '../../fixtures/engine.ts'
import { succeed } from './docker.ts'

/** An empty folder, as many of them as a test wants, for as long as it runs. */
export const newFolder = (t: Test): string => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-build-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A folder with a Dockerfile and other files. */
export const buildContext = async (
  t: Test,
  dockerfile: string,
  files: Readonly<Record<string, string | Buffer>> = {},
): Promise<string> => {
  const folder = newFolder(t)
  for (const [name, content] of Object.entries({ Dockerfile: dockerfile, ...files })) {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
  }
  return folder
}

/** Whether a process sleeps for so long, in whatever namespace; the bracket keeps the question out of its answer. */
export const sleeps = async (engine: Engine, seconds: string): Promise<boolean> =>
  (await engine.inside('sh', '-c', `pgrep -f '[s]leep ${seconds}' || true`)) !== ''

/** Resolves once it `holds`, soon. */
export const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 20_000
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`never ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** No builder of buildx's own has been made behind the back of whoever was refused. */
export const noFallback = async (t: Test, engine: Engine): Promise<boolean> =>
  t.notMatch(await succeed(engine, ['ps', '--all', '--format', '{{.Names}}']), /buildx_buildkit/)
