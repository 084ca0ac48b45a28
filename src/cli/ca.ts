/** `berth ca`: the certificate authorities of this berth. */
import { X509Certificate } from 'node:crypto'
import type { Command } from 'commander'
import { initAuthority, openAuthority, type Purpose } from '../tenant/authority.ts'
import { printTime } from './duration.ts'
import type { Io } from './io.ts'
import { operatorConfig } from './operator.ts'
import { configOption, jsonOption, type RecordFlags, stateOption } from './options.ts'
import { authorityFolder, prepareState } from './tenancy.ts'

interface Flags extends RecordFlags {
  readonly json?: boolean
}

/** What each authority is for; every one trusts only its own. */
const PURPOSES = {
  clients: 'signs the certificates that tenants show to berth',
  listeners: 'signs the certificates that berth shows; it is the ca.pem of docker contexts',
  engines: 'signs those of engines in VMs, and of berth where it dials them',
} as const satisfies Record<Purpose, string>

const ALL = Object.keys(PURPOSES) as Purpose[]

const describe = (purpose: Purpose, pem: string) => {
  const { subject, validTo, fingerprint256 } = new X509Certificate(pem)
  return {
    purpose,
    subject,
    expiresAt: printTime(Date.parse(validTo)),
    fingerprint: fingerprint256,
  }
}

const showAll = async (io: Io, folder: string, flags: Flags): Promise<void> => {
  const authority = await openAuthority(folder, Date.now)
  const shown = ALL.map((purpose) => describe(purpose, authority.certificate(purpose)))
  if (flags.json) return io.out(JSON.stringify(shown))
  for (const { purpose, subject, expiresAt, fingerprint } of shown) {
    io.out(`${purpose}: ${PURPOSES[purpose]}`)
    io.out(`  ${subject}, good until ${expiresAt}`)
    io.out(`  SHA-256 ${fingerprint}`)
  }
}

const init = async (io: Io, flags: Flags): Promise<void> => {
  const config = operatorConfig(io, flags)
  prepareState(config.state)
  const folder = authorityFolder(config)
  await initAuthority(folder, Date.now())
  await showAll(io, folder, flags)
  if (!flags.json)
    io.out(`They are in ${folder}, each with its private key: keep a copy in a safe place.`)
}

const show = async (io: Io, purpose: Purpose | undefined, flags: Flags): Promise<void> => {
  const folder = authorityFolder(operatorConfig(io, flags))
  if (purpose === undefined) return showAll(io, folder, flags)
  const authority = await openAuthority(folder, Date.now)
  const pem = authority.certificate(purpose)
  io.out(
    flags.json ? JSON.stringify({ ...describe(purpose, pem), certificate: pem }) : pem.trimEnd(),
  )
}

const EXAMPLES = `
Examples:
  berth ca init
  berth ca show listeners >ca.pem

A berth that serves makes what is missing by itself. Several berths for the same tenants need the same authorities:
copy the folder "ca" of the state folder from one to the others.`

const here = (command: Command): Command =>
  command.addOption(configOption()).addOption(stateOption()).addOption(jsonOption())

export const addAuthorityCommands = (program: Command, io: Io): void => {
  const ca = program
    .command('ca')
    .description("make and show berth's own certificate authorities")
    .addHelpText('after', EXAMPLES)
  here(
    ca.command('init').description('make those that are missing; nothing that is there is touched'),
  ).action((flags) => init(io, flags))
  here(
    ca
      .command('show')
      .description('print the certificate of one authority (PEM), or a summary of all')
      .addArgument(ca.createArgument('[authority]', 'which one').choices(ALL)),
  ).action((purpose, flags) => show(io, purpose, flags))
}
