/** Certificates for engines behind TLS, from an authority that lives as long as the test. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Issued, initAuthority, openAuthority } from '../../src/tenant/authority.ts'

const HOUR = 3_600_000

export interface EngineCertificates {
  /** PEM of the authority, which has issued everything here. */
  readonly ca: string
  /** For a server of these names and addresses; 127.0.0.1 unless said otherwise. */
  server(...names: readonly string[]): Promise<Issued>
  /** Expired since an hour. */
  expired(): Promise<Issued>
  /** What berth shows. */
  dialler(): Promise<Issued>
}

export const engineCertificates = async (t: {
  teardown(handler: () => unknown): void
}): Promise<EngineCertificates> => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-ca-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const then = Date.now() - 3 * HOUR
  await initAuthority(folder, then)
  const authority = await openAuthority(folder, Date.now)
  const earlier = await openAuthority(folder, () => then)
  return {
    ca: authority.certificate('engines'),
    server: (...names) =>
      authority.issueServer('engines', names.length > 0 ? names : ['127.0.0.1'], HOUR),
    expired: () => earlier.issueServer('engines', ['127.0.0.1'], 2 * HOUR),
    dialler: () => authority.issueDialler(HOUR),
  }
}
