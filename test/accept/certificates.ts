/** The certificates of a listener while their files change under it. */
import { chownSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { Certificates } from '../../src/accept/certificates.ts'
import { engineCertificates } from '../support/engine-certificates.ts'

test('files that do not fit are told of once for each change, and the pair before stays', async (t) => {
  const authority = await engineCertificates(t)
  const [mine, other] = [await authority.server('mine.test'), await authority.server('other.test')]
  const folder = t.testdir({ certificate: mine.certificate, key: mine.key })
  const [certificate, key] = [join(folder, 'certificate'), join(folder, 'key')]
  const told: string[] = []
  const source = { kind: 'files', name: 'tls.certificates.0', certificate, key } as const
  const certificates = new Certificates([source], [], ({ message }) => told.push(message))
  t.teardown(() => certificates.close())
  const reload = (): number => {
    for (let i = 0; i < 3; i += 1) certificates.reload()
    return told.length
  }
  const before = certificates.defaults
  t.equal(reload(), 0)

  writeFileSync(key, other.key)
  t.equal(reload(), 1)
  t.match(told[0], /tls\.certificates\.0: .*not the key of the certificate/)
  writeFileSync(key, 'no key at all')
  t.equal(reload(), 2)
  await sleep(20) // ctime moves in ticks
  chownSync(key, process.getuid?.() ?? 0, process.getgid?.() ?? 0)
  t.equal(reload(), 3, 'a key that berth could not read may be its own now')
  rmSync(key)
  t.equal(reload(), 4)
  t.match(told[3], /tls\.certificates\.0: .*ENOENT/)
  t.equal(certificates.defaults, before)

  writeFileSync(key, other.key)
  t.equal(reload(), 5, 'so it is when what was wrong is back')
  writeFileSync(certificate, other.certificate)
  t.equal(reload(), 5)
  t.equal(certificates.defaults.key, other.key, 'what fits is taken')
})
