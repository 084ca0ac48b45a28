/** A listener's certificates that cannot be used are refused at the start, by the name of their key. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { engineCertificates } from '../support/engine-certificates.ts'
import { runProgram } from '../support/program.ts'

test('what cannot be shown is named', async (t) => {
  const certificates = await engineCertificates(t)
  const [mine, other] = [await certificates.server(), await certificates.server()]
  const path = t.testdir({ prose: 'no key' })
  const file = (name: string): string => join(path, name)
  writeFileSync(file('certificate'), mine.certificate)
  writeFileSync(file('key'), mine.key)
  writeFileSync(file('otherKey'), other.key)
  const rows: readonly (readonly [certificate: string, key: string, says: RegExp])[] = [
    ['certificate', 'otherKey', /the key is not the key of the certificate/],
    ['certificate', 'prose', /no private key in PEM|no key, in PEM/],
    ['prose', 'key', /in PEM in it/],
    ['certificate', '.', /EISDIR/],
    ['certificate', 'nowhere', /ENOENT.*nowhere/],
    ['nowhere', 'key', /ENOENT.*nowhere/],
  ]
  for (const [certificate, key, says] of rows) {
    const pairs = [
      { certificate: file('certificate'), key: file('key') },
      { certificate: file(certificate), key: file(key) },
    ]
    const config = {
      listen: ['tls://127.0.0.1:0'],
      ...{ anonymous: true, engine: 'unix:///run/docker.sock', state: path, log: 'silent' },
      tls: { certificates: pairs },
    }
    writeFileSync(file('berth.yaml'), JSON.stringify(config))
    const { exitCode, err } = await runProgram({}, 'serve', '--config', file('berth.yaml'))
    t.equal(exitCode, 2, `${certificate}, ${key}: ${err}`)
    t.match(err, `berth: tls.certificates.1: ${file(certificate)}, ${file(key)}: `)
    t.match(err, says)
  }
})
