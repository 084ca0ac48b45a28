/** One certificate for all contenders of a run, made by openssl and kept nowhere. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { native } from './native.ts'

/** PEM files. */
export interface Certificate {
  readonly certificate: string
  readonly key: string
  /** Both in one file, as HAProxy wants them. */
  readonly both: string
}

/** ECDSA with P-256, what certificates of today are; good for a day. */
export const makeCertificate = (folder: string): Certificate => {
  const file = (name: string) => join(folder, `${name}.pem`)
  const [certificate, key, both] = [file('certificate'), file('key'), file('both')]
  const options = [
    ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'],
    ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
  ]
  execFileSync('openssl', ['req', '-x509', ...options, '-keyout', key, '-out', certificate], {
    stdio: 'pipe',
  })
  writeFileSync(both, readFileSync(certificate, 'latin1') + readFileSync(key, 'latin1'), {
    mode: 0o600,
  })
  return { certificate, key, both }
}

/** Why nothing can be measured over TLS on this machine, or undefined. */
export const tlsIsMissing = (): string | undefined => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'pipe' })
    const features = execFileSync(native('load'), ['features'], { encoding: 'utf8' })
    return features.includes('tls') ? undefined : 'load was built without libssl-dev'
  } catch (error) {
    return (error as Error).message
  }
}
