/** A real ssh-agent for tests, and its client for images that have neither. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { newFolder, until } from './builds.ts'

const run = promisify(execFile)

const PROGRAM = '/usr/bin/ssh-add'

const install = (): void => {
  if (existsSync(PROGRAM)) return
  const script =
    'apt-get update -qq && apt-get install -y -qq --no-install-recommends openssh-client'
  // test files run side by side: one of them installs
  execFileSync('flock', [
    '/var/lock/berth-test-apt',
    'sh',
    '-c',
    `[ -x ${PROGRAM} ] || (${script})`,
  ])
}

export interface SshAgent {
  /** What SSH_AUTH_SOCK is to be. */
  readonly socket: string
  /** What `ssh-add -l` says of its one key, which nobody has seen before. */
  readonly listing: string
}

/** It ends with the test. */
export const startAgent = async (t: Test): Promise<SshAgent> => {
  install()
  const folder = newFolder(t)
  const [socket, key] = ['socket', 'key'].map((name) => join(folder, name)) as [string, string]
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
  t.teardown(() => agent.kill())
  await until('an agent', async () => existsSync(socket))
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'of this test', '-f', key])
  const env = { ...process.env, SSH_AUTH_SOCK: socket }
  await run('ssh-add', ['-q', key], { env })
  return { socket, listing: (await run('ssh-add', ['-l'], { env })).stdout }
}

/** /usr/bin/ssh-add with the libraries that it needs, by their paths below `folder`. */
export const sshAdd = async (folder: string): Promise<Record<string, Buffer>> => {
  install()
  const { stdout } = await run('ldd', [PROGRAM])
  const paths = [PROGRAM, ...(stdout.match(/\/\S+/g) ?? [])]
  return Object.fromEntries(
    await Promise.all(
      paths.map(async (path) => [`${folder}${path}`, await readFile(path)] as const),
    ),
  )
}
