/** `berth context NAME`: everything a tenant's docker needs, as files, as commands to paste, and tried out. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import ipaddr from 'ipaddr.js'
import { parseListenAddress } from '../accept/address.ts'
import type { OperatorConfig } from '../config/config.ts'
import { openAuthority } from '../tenant/authority.ts'
import { isKeyShaped } from '../tenant/key.ts'
import { replaceSecretFile } from '../tenant/secret-file.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { authorityOf } from '../upstream/address.ts'
import {
  type Access,
  accessOf,
  type CredentialFiles,
  type Door,
  shellWord,
  type Way,
} from './access.ts'
import { runDocker } from './docker.ts'
import { userFolder } from './folders.ts'
import { CommandError, type Io } from './io.ts'
import { inOffice } from './operator.ts'
import { durationOption, onRecords, type RecordFlags } from './options.ts'
import { ping } from './ping.ts'
import { authorityFolder } from './tenancy.ts'

interface Flags extends RecordFlags {
  readonly json?: boolean
  readonly cert?: boolean
  readonly hostKey?: boolean
  readonly header?: boolean
  readonly key?: string
  readonly address?: string
  readonly ca?: string
  readonly out?: string
  readonly lifetime: number
  readonly create?: boolean
  readonly check: boolean
}

/** PEM, as far as this way in needs them. */
interface Credentials {
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
}

const FILE_NAMES = { ca: 'ca.pem', certificate: 'cert.pem', key: 'key.pem' } as const

/** Listening there, a berth is reached under some other name. */
const ANYWHERE: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

const wayOf = ({ cert, hostKey, header }: Flags): Way => {
  const given = [cert && 'certificate', hostKey && 'host key', header && 'header'].filter(
    Boolean,
  ) as Way[]
  if (given.length > 1)
    throw new CommandError('--cert, --host-key and --header are different ways in: choose one')
  return given[0] ?? 'certificate'
}

// === where ===

const readDoor = (url: string): Door => {
  try {
    const address = parseListenAddress(url)
    if (address.kind !== 'unix') return address
  } catch (error) {
    throw new CommandError(`--address ${(error as Error).message}`, { cause: error })
  }
  throw new CommandError(
    '--address is tls://HOST:PORT or tcp://HOST:PORT; for a unix socket, set DOCKER_HOST to it and DOCKER_CUSTOM_HEADERS to X-Berth-Key=KEY',
  )
}

/** Where the config says that clients connect, TLS first; under the name that it gives to this berth. */
const doorIn = ({ listen = [], domain }: OperatorConfig): Door => {
  const url =
    listen.find((url) => url.startsWith('tls:')) ?? listen.find((url) => url.startsWith('tcp:'))
  const door = url === undefined ? undefined : readDoor(url)
  const host = domain[0] ?? door?.host
  if (door === undefined || host === undefined || ANYWHERE.has(host))
    throw new CommandError(
      'where is berth reached? say --address tls://NAME:PORT, or set `listen` and `domain` in berth.yaml',
    )
  return { ...door, host }
}

const checkDoor = ({ kind, host }: Door, way: Way): void => {
  if (way === 'certificate' && kind !== 'tls')
    throw new CommandError('certificates need TLS: --address tls://HOST:PORT, or choose --header')
  if (way === 'host key' && ipaddr.isValid(host))
    throw new CommandError(
      `a key in the host name needs a name to be put before, and ${host} is an address`,
    )
}

// === with what ===

const keyFor = (io: Io, tenant: Tenant, way: Way, flags: Flags): string | undefined => {
  if (way === 'certificate') return undefined
  const key = flags.key ?? (io.env.BERTH_KEY || undefined)
  if (key === undefined)
    throw new CommandError(
      `keys are not kept, so berth does not know this one: give it with --key KEY or BERTH_KEY, or make a new one with berth tenant rotate ${tenant.name}`,
    )
  if (!isKeyShaped(key)) throw new CommandError('that is no key: a key is 26 of a-z and 2-7')
  if (way === 'host key' && tenant.hostKey === undefined)
    throw new CommandError(
      `tenant "${tenant.name}" may not put its key into a host name; use --cert or --header, or allow it: berth tenant change ${tenant.name} --host-key`,
      { exitCode: 1 },
    )
  return key
}

const credentialsFor = async (
  config: OperatorConfig,
  tenant: Tenant,
  door: Door,
  way: Way,
  flags: Flags,
): Promise<Credentials> => {
  if (door.kind === 'tcp') return {}
  const authority = await openAuthority(authorityFolder(config), Date.now)
  const ca =
    flags.ca === undefined ? authority.certificate('listeners') : readFileSync(flags.ca, 'utf8')
  if (way !== 'certificate') return { ca }
  const { certificate, key } = await authority.issueClient(tenant, flags.lifetime)
  return { ca, certificate, key }
}

const folderFor = (io: Io, name: string, { out }: Flags): string =>
  resolve(out ?? join(userFolder(io.env, 'XDG_CONFIG_HOME'), name))

const writeFiles = (folder: string, credentials: Credentials): CredentialFiles => {
  const written: Record<string, string> = {}
  for (const [what, pem] of Object.entries(credentials)) {
    const path = join(folder, FILE_NAMES[what as keyof typeof FILE_NAMES])
    replaceSecretFile(path, pem)
    written[what] = path
  }
  return written
}

// === what is said ===

const exports = (variables: Readonly<Record<string, string>>): string[] =>
  Object.entries(variables).map(([name, value]) => `export ${name}=${shellWord(value)}`)

const print = (io: Io, name: string, { env, beside, create }: Access): void => {
  io.out('# a context, for good:')
  io.out(['docker', ...create].map(shellWord).join(' '))
  if (Object.keys(beside).length > 0)
    io.out('# contexts cannot hold this; it has to be set with it:')
  for (const line of exports(beside)) io.out(line)
  io.out(`docker --context ${name} version`)
  io.out('')
  io.out('# or, for one shell:')
  for (const line of exports(env)) io.out(line)
}

// === what is done ===

const FIRST_LABEL = /^tcp:\/\/([^.]*)\./

const withoutKey = (url: string): string => {
  const [start = '', label = ''] = FIRST_LABEL.exec(url) ?? []
  return isKeyShaped(label) ? `tcp://${url.slice(start.length)}` : url
}

/** Makes the context, or renews the one that leads here. Somebody's context for anything else is left alone. */
const saveContext = async (io: Io, name: string, access: Access): Promise<void> => {
  const contexts = await runDocker(io, [
    'context',
    'ls',
    '--format',
    '{{.Name}} {{.DockerEndpoint}}',
  ])
  const there = contexts.split('\n').find((line) => line.startsWith(`${name} `))
  const url = there?.slice(name.length + 1)
  // keys and ways in change; where they lead does not
  if (url !== undefined && withoutKey(url) !== withoutKey(access.url))
    throw new CommandError(
      `docker has a context "${name}" already, for ${url}; remove it (docker context rm ${name}), or paste the line above with another name`,
      { exitCode: 1 },
    )
  await runDocker(io, url === undefined ? access.create : access.update)
}

const context = (io: Io, name: string, flags: Flags): Promise<void> =>
  inOffice(io, flags, async ({ config, registry }) => {
    const way = wayOf(flags)
    const door = flags.address === undefined ? doorIn(config) : readDoor(flags.address)
    checkDoor(door, way)
    const tenant = await registry.show(name)
    const key = keyFor(io, tenant, way, flags)
    const credentials = await credentialsFor(config, tenant, door, way, flags)
    const folder = folderFor(io, name, flags)
    const files = writeFiles(folder, credentials)
    const access = accessOf({ name, door, way, key, folder, files })
    const docker = ['docker', ...access.create]
    if (flags.json) io.out(JSON.stringify({ name, way, command: docker, env: access.env, files }))
    else print(io, name, access)
    if (flags.create) await saveContext(io, name, access)
    if (!flags.check) return
    const shownAs = `${door.kind}://${way === 'host key' ? 'KEY.' : ''}${authorityOf(door)}`
    const { host, port, headers } = access
    const wrong = await ping({ kind: door.kind, host, port, headers, shownAs, ...credentials })
    if (wrong !== undefined) throw new CommandError(wrong, { exitCode: 1 })
    if (!flags.json) io.out(`\n# tried: ${shownAs} answers, and knows tenant "${name}"`)
  })

const EXAMPLES = `
Examples:
  berth context ann --address tls://berth.example.com:2376 --create
  berth context ci --cert --lifetime 12h --out ./ci-credentials --json
  BERTH_KEY=... berth context ann --header --address tcp://127.0.0.1:2375
  BERTH_KEY=... berth context ann --host-key --address tls://berth.example.com:2376

Which way in:
  --cert      works for everything, shows nothing to anybody, is revoked by berth tenant revoke NAME --certificates
  --header    works for docker and compose; builds carry no headers and are refused
  --host-key  works for everything over TLS; DNS, TLS and error messages show the key (berth tenant add --host-key);
              compose then needs COMPOSE_BAKE=false, which is among the lines that are printed

Files are written with mode 0600. At the end a real /_ping goes through that address; exit code 1 says what is wrong.`

export const addContextCommand = (program: Command, io: Io): void => {
  onRecords(
    program
      .command('context')
      .argument('<name>', 'the tenant; also the name of the docker context')
      .description(
        'make what a docker context needs to reach this berth, print the commands, and try it out',
      ),
  )
    .option('--cert', 'with a client certificate, made now (the default)')
    .option('--host-key', 'with a key in the host name')
    .option('--header', 'with a key in a header')
    .option(
      '--key <key>',
      'the key for --host-key and --header (better: BERTH_KEY, which `ps` does not show)',
    )
    .option(
      '--address <url>',
      'where berth is reached: tls://HOST:PORT or tcp://HOST:PORT (default: as berth.yaml says)',
    )
    .option(
      '--ca <file>',
      "the authority behind the listener's certificate, where that is not berth's own",
    )
    .addOption(
      durationOption('--lifetime <duration>', 'how long the certificate is good: 12h, ...', '90d'),
    )
    .option('--out <dir>', 'where ca.pem, cert.pem and key.pem go (default ~/.config/berth/NAME)')
    .option('--create', 'make the docker context, or renew the one that leads here')
    .option('--no-check', 'do not try it out')
    .addHelpText('after', EXAMPLES)
    .action((name, flags) => context(io, name, flags))
}
