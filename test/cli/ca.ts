/** `berth ca`: the authorities are made once, and shown. */
import { X509Certificate } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { runProgram } from '../support/program.ts'

test('the authorities are made once, for nobody else to read, and shown', async (t) => {
  const env = { BERTH_STATE: t.testdir() }
  const ca = (...args: readonly string[]) => runProgram(env, 'ca', ...args)
  t.match(await ca('show', 'clients'), { exitCode: 1, err: /berth ca init makes it/ })

  const made = JSON.parse((await ca('init', '--json')).out)
  t.match(made, [{ purpose: 'clients' }, { purpose: 'listeners' }, { purpose: 'engines' }])
  t.same(JSON.parse((await ca('init', '--json')).out), made, 'a second time changes nothing')
  for (const { purpose, fingerprint } of made) {
    const { out } = await ca('show', purpose)
    const certificate = new X509Certificate(out)
    t.equal(certificate.fingerprint256, fingerprint)
    t.ok(certificate.ca)
    t.notMatch(out, 'PRIVATE KEY')
    const file = join(env.BERTH_STATE, 'ca', `${purpose}-ca.pem`)
    t.equal(statSync(file).mode & 0o777, 0o600)
  }
  t.match((await ca('show')).out, /clients: signs[\s\S]*listeners: signs[\s\S]*engines: signs/)
  t.match(await ca('show', 'friends'), { exitCode: 2, err: /clients, listeners, engines/ })
  t.match(await ca('init', '--state', '/dev/null/x'), { exitCode: 2, err: /--state DIR/ })
})
