/** `berth tenant`: who may use this berth, and how they prove it. */
import { setImmediate } from 'node:timers/promises'
import type { Command } from 'commander'
import { isKeyShaped } from '../tenant/key.ts'
import type { Keyed, Registry } from '../tenant/registry.ts'
import type { HostKey, Tenant } from '../tenant/tenant.ts'
import { parseEngineAddress } from '../upstream/address.ts'
import { unknownAmong } from './given.ts'
import { CommandError, type Io } from './io.ts'
import { inOffice, type Office } from './operator.ts'
import { duration, durationOption, onRecords, type RecordFlags } from './options.ts'
import { describeTenant, keyIdOf, LIST_HEAD, listLine, usableKeys, viewOf } from './tenant-view.ts'

interface Flags extends RecordFlags {
  readonly json?: boolean
}

interface HostKeyFlags {
  readonly hostKey?: boolean
  readonly hostKeyCidr?: string[]
  readonly hostKeyExpires?: number
}

interface KeyFlags {
  readonly label?: string
  /** ms from now */
  readonly expires?: number
}

interface AddFlags extends Flags, HostKeyFlags, KeyFlags {
  readonly endpoint: string
  readonly policy: string
  readonly plan: string
}

type ChangeFlags = Flags & HostKeyFlags & Partial<Pick<AddFlags, 'endpoint' | 'policy' | 'plan'>>
type RotateFlags = Flags & KeyFlags & { readonly overlap: number }
type RevokeFlags = Flags & { readonly key?: string; readonly certificates?: boolean }
type RemoveFlags = Flags & { readonly yes?: boolean }

const after = (span: number | undefined): number | undefined =>
  span === undefined ? undefined : Date.now() + span

/** Addresses are read here, so that a typing error is told now and not to the tenant. */
const checkEngine = (endpoint: string | undefined): void => {
  if (endpoint?.includes('://') !== true) return
  try {
    parseEngineAddress(endpoint)
  } catch (error) {
    throw new CommandError(
      `--endpoint ${(error as Error).message}, or the name of an endpoint of berth.yaml`,
      {
        cause: error,
      },
    )
  }
}

/** What the flags say of keys in host names: leave, no leave (null), or nothing. */
const hostKeyOf = ({
  hostKey,
  hostKeyCidr,
  hostKeyExpires,
}: HostKeyFlags): HostKey | null | undefined => {
  const hasDetails = hostKeyCidr !== undefined || hostKeyExpires !== undefined
  if (hostKey !== true && hasDetails)
    throw new CommandError(
      '--host-key-cidr and --host-key-expires say more about --host-key: give that too',
    )
  if (hostKey === undefined) return undefined
  if (!hostKey) return null
  const expiresAt = after(hostKeyExpires)
  return {
    ...(hostKeyCidr !== undefined && { cidrs: hostKeyCidr }),
    ...(expiresAt !== undefined && { expiresAt }),
  }
}

// === what the commands do ===

const print = (io: Io, flags: Flags, tenant: Tenant, said: string): void => {
  io.out(flags.json ? JSON.stringify(viewOf(tenant, Date.now())) : said)
}

const printKey = (io: Io, flags: Flags, { tenant, key }: Keyed, said: string): void => {
  const { id, name, ...view } = viewOf(tenant, Date.now())
  if (flags.json) return io.out(JSON.stringify({ id, name, key, ...view }))
  io.out(`${said} The key, which is not kept and cannot be shown again:`)
  io.out('')
  io.out(`  ${key}`)
  io.out('')
  io.out(`How docker is told of it: berth context ${name} --help`)
}

const add = (io: Io, name: string, flags: AddFlags): Promise<void> => {
  checkEngine(flags.endpoint)
  const hostKey = hostKeyOf(flags) ?? undefined
  const { endpoint, policy, plan, label, expires } = flags
  return inOffice(io, flags, async ({ config, registry }) => {
    const expiresAt = after(expires)
    const unknown = unknownAmong(flags, config)
    const keyed = await registry.add({ name, endpoint, policy, plan, hostKey, label, expiresAt })
    for (const what of unknown) io.err(`berth: ${what}`)
    printKey(io, flags, keyed, `Tenant "${name}" has been added.`)
  })
}

const show = (io: Io, name: string, flags: Flags): Promise<void> =>
  inOffice(io, flags, async ({ registry }) => {
    const view = viewOf(await registry.show(name), Date.now())
    if (flags.json) io.out(JSON.stringify(view))
    else for (const line of describeTenant(view)) io.out(line)
  })

/** All tenants, page by page, so that a hundred thousand need no more memory than a hundred. */
const everyTenant = async function* (registry: Registry): AsyncGenerator<Tenant> {
  let after: string | undefined
  do {
    const { tenants, next } = await registry.list(after)
    yield* tenants
    after = next
    // a whole turn: whoever reads may have closed the pipe
    await setImmediate()
  } while (after !== undefined)
}

const list = (io: Io, flags: Flags): Promise<void> =>
  inOffice(io, flags, async ({ registry }) => {
    const now = Date.now()
    let count = 0
    for await (const tenant of everyTenant(registry)) {
      const view = viewOf(tenant, now)
      const isFirst = count++ === 0
      if (flags.json) io.out(`${isFirst ? '[' : ','}${JSON.stringify(view)}`)
      else {
        if (isFirst) io.out(LIST_HEAD)
        io.out(listLine(view))
      }
    }
    if (flags.json) io.out(count === 0 ? '[]' : ']')
    else if (count === 0) io.out('There are no tenants yet: berth tenant add NAME makes one.')
  })

const change = (io: Io, name: string, flags: ChangeFlags): Promise<void> => {
  checkEngine(flags.endpoint)
  const { endpoint, policy, plan } = flags
  const wanted = { endpoint, policy, plan, hostKey: hostKeyOf(flags) }
  if (Object.values(wanted).every((value) => value === undefined))
    throw new CommandError(
      'nothing to change: give --endpoint, --policy, --plan, --host-key or --no-host-key',
    )
  return inOffice(io, flags, async ({ config, registry }) => {
    const unknown = unknownAmong(flags, config)
    const changed = await registry.change(name, wanted)
    for (const what of unknown) io.err(`berth: ${what}`)
    print(io, flags, changed, `Tenant "${name}" has been changed.`)
  })
}

const rotate = (io: Io, name: string, flags: RotateFlags): Promise<void> =>
  inOffice(io, flags, async ({ registry }) => {
    const { overlap, label, expires } = flags
    const keyed = await registry.rotate(name, { overlap, label, expiresAt: after(expires) })
    const old = overlap > 0 ? 'the one before stays good for the overlap' : 'all others have ended'
    printKey(io, flags, keyed, `Tenant "${name}" has a new key; ${old}.`)
  })

/** The hash of the key that an operator means: by its id, or by the key itself, where it was found lying about. */
const hashOf = (tenant: Tenant, key: string, { seal }: Office): string => {
  const hash = isKeyShaped(key) ? seal.hashKey(key) : undefined
  const found = tenant.keys.find((known) => known.hash === hash || keyIdOf(known.hash) === key)
  if (found === undefined)
    throw new CommandError(
      `tenant "${tenant.name}" has no such key; berth tenant show ${tenant.name} lists them`,
      {
        exitCode: 1,
      },
    )
  return found.hash
}

const revoke = (io: Io, name: string, flags: RevokeFlags): Promise<void> => {
  const { key, certificates } = flags
  if ((key === undefined) === (certificates === undefined))
    throw new CommandError(
      'say what: --key ID, or --certificates for all certificates issued so far',
    )
  return inOffice(io, flags, async (office) => {
    const { registry } = office
    if (key === undefined) {
      const tenant = await registry.revokeCertificates(name)
      return print(io, flags, tenant, `The certificates of tenant "${name}" have been revoked.`)
    }
    const hash = hashOf(await registry.show(name), key, office)
    print(
      io,
      flags,
      await registry.revokeKey(name, hash),
      `The key of tenant "${name}" has been revoked.`,
    )
  })
}

const disable = (io: Io, name: string, flags: Flags): Promise<void> =>
  inOffice(io, flags, async ({ registry }) =>
    print(
      io,
      flags,
      await registry.disable(name),
      `Tenant "${name}" is disabled; what it has open ends within a second. berth tenant enable ${name} undoes it.`,
    ),
  )

const enable = (io: Io, name: string, flags: Flags): Promise<void> =>
  inOffice(io, flags, async ({ registry }) =>
    print(io, flags, await registry.enable(name), `Tenant "${name}" is enabled.`),
  )

const remove = (io: Io, name: string, flags: RemoveFlags): Promise<void> =>
  inOffice(io, flags, async ({ registry }) => {
    const tenant = await registry.show(name)
    const count = usableKeys(tenant, Date.now()).length
    if (!tenant.disabled && !flags.yes)
      throw new CommandError(
        `tenant "${name}" can still come in, with ${count} ${count === 1 ? 'key' : 'keys'} and any certificate made for it; ` +
          `add --yes to remove it all the same, or begin with berth tenant disable ${name}`,
      )
    await registry.remove(name)
    print(
      io,
      flags,
      tenant,
      `Tenant "${name}" has been removed. Its engine and what is on it stay as they are.`,
    )
  })

// === what they are called ===

const ENDPOINT =
  'its engine: unix:///PATH, tcp://HOST:PORT, tls://HOST:PORT, or a name from `endpoints` of berth.yaml ("default" is --engine)'
const POLICY = 'what it may do there: dedicated, shared, open or a policy of berth.yaml'
const PLAN = 'how much it may do at once: a name from `plans` of berth.yaml'

const withKeyOptions = (command: Command): Command =>
  command
    .option('--label <text>', 'what the key is for: laptop, ci, ...')
    .option('--expires <duration>', 'when the key ends: 90d, 12h, ... (default: never)', duration)

const withHostKeyOptions = (command: Command): Command =>
  command
    .option(
      '--host-key',
      'accept its key as the first label of the host name (KEY.berth.example.com). DNS, TLS and error messages then show it: prefer certificates',
    )
    .option('--host-key-cidr <network...>', 'only from these networks: 192.0.2.0/24, 2001:db8::/32')
    .option('--host-key-expires <duration>', 'only for so long: 90d, 12h, ...', duration)

const EXAMPLES = `
Examples:
  berth tenant add ann --endpoint unix:///var/run/docker.sock
  berth tenant add ci --endpoint tcp://10.0.0.7:2375 --label runner --expires 90d --json
  berth tenant rotate ci --overlap 1h
  berth tenant disable ann

Berths that run hear of every change within a second. What they cannot be told is where the records are:
they and these commands need the same --state (or BERTH_STATE) and --store (or BERTH_STORE), or the same --config.`

export const addTenantCommands = (program: Command, io: Io): void => {
  const tenant = program
    .command('tenant')
    .description('add, show, change and remove tenants and their keys')
    .addHelpText('after', EXAMPLES)

  const named = (name: string, description: string): Command =>
    onRecords(
      tenant
        .command(name)
        .argument('<name>', 'a-z, 0-9 and "-", up to 40')
        .description(description),
    )

  withHostKeyOptions(withKeyOptions(named('add', 'add a tenant; prints its first key, once')))
    .option('--endpoint <endpoint>', ENDPOINT, 'default')
    .option('--policy <name>', POLICY, 'dedicated')
    .option('--plan <name>', PLAN, 'default')
    .action((name, flags) => add(io, name, flags))

  onRecords(tenant.command('list').description('list all tenants, by name')).action((flags) =>
    list(io, flags),
  )

  named('show', 'show a tenant and its keys: by id, with their ends and last uses').action(
    (name, flags) => show(io, name, flags),
  )

  withHostKeyOptions(named('change', 'change what a tenant has been given'))
    .option('--no-host-key', 'accept its key in a host name no longer')
    .option('--endpoint <endpoint>', ENDPOINT)
    .option('--policy <name>', POLICY)
    .option('--plan <name>', PLAN)
    .action((name, flags) => change(io, name, flags))

  withKeyOptions(named('rotate', 'give a tenant a new key; prints it, once'))
    .addOption(
      durationOption(
        '--overlap <duration>',
        'for how long the key before stays good; 0s ends it now',
        '1h',
      ),
    )
    .action((name, flags) => rotate(io, name, flags))

  named('revoke', 'end one key, or all client certificates, now')
    .option('--key <id>', 'the id that `berth tenant show` prints, or the key itself')
    .option('--certificates', 'all that were issued so far')
    .action((name, flags) => revoke(io, name, flags))

  named('disable', 'let a tenant do nothing any more; what it has open ends').action(
    (name, flags) => disable(io, name, flags),
  )
  named('enable', 'undo disable').action((name, flags) => enable(io, name, flags))
  named('remove', 'forget a tenant and its keys')
    .option('--yes', 'even if it can still come in')
    .action((name, flags) => remove(io, name, flags))
}
