/** Names that this machine resolves while a test runs: lines of /etc/hosts, added and removed under a lock. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'

const HOSTS = '/etc/hosts'
const LOCK = '/var/lock/berth-test-hosts'

/** The file is written in place, because it is often a mount, which cannot be replaced. */
const ADD = `printf '%s' "$1" >>${HOSTS}`
const REMOVE = `rest=$(grep -v "# $1\\$" ${HOSTS}); printf '%s\\n' "$rest" >${HOSTS}`

const underLock = (script: string, argument: string): void => {
  execFileSync('flock', [LOCK, 'sh', '-c', script, 'sh', argument])
}

/** Makes `names` mean `address` until the test ends. May be called again for more. */
export const nameHosts = (
  t: { teardown(handler: () => unknown): void },
  names: readonly string[],
  address = '127.0.0.1',
): void => {
  const mark = `berth-test-${process.pid}-${randomBytes(4).toString('hex')}`
  t.teardown(() => underLock(REMOVE, mark))
  underLock(ADD, `${names.map((name) => `${address} ${name} # ${mark}`).join('\n')}\n`)
}
