/** The commands and their flags, as `berth --help` shows them. */
import { Command, Option } from 'commander'
import { LOG_LEVELS } from '../observe/log.ts'
import { addAuthorityCommands } from './ca.ts'
import { addContextCommand } from './context.ts'
import { explain } from './explain.ts'
import type { Io } from './io.ts'
import { configOption as config, stateOption, storeOption, wholeNumber } from './options.ts'
import { showPolicy } from './policy.ts'
import { serve } from './serve.ts'
import { addTenantCommands } from './tenant.ts'
import { up } from './up.ts'

const listen = () =>
  new Option(
    '--listen <url...>',
    'where clients connect: tls://HOST:PORT, tcp://HOST:PORT or unix:///PATH (several: repeat it)',
  )
const engine = () =>
  new Option(
    '--engine <url>',
    'the Docker engine: unix:///PATH, tcp://HOST:PORT or tls://HOST:PORT',
  )
const domain = () =>
  new Option(
    '--domain <name...>',
    'a name of this berth, for the certificate that tls:// listeners show',
  )
const log = () =>
  new Option('--log <level>', 'the least severe line to log, to standard error').choices(LOG_LEVELS)
const allowedHosts = () =>
  new Option(
    '--allowed-hosts <name...>',
    'a further host name that an anonymous TCP listener answers to',
  )
const profile = () =>
  new Option(
    '--profile <name>',
    'the policy of an anonymous tenant: open, dedicated, shared or one of berth.yaml',
  )
const workers = () =>
  new Option('--workers <n>', 'processes that share the listeners (default 1)').argParser(
    wholeNumber,
  )
const tenant = () =>
  new Option(
    '--tenant <name>',
    'the policy and plan of this tenant; --profile wins over his policy',
  )
const drain = () =>
  new Option(
    '--drain-seconds <n>',
    'how long a stop waits for streams to end (default 30)',
  ).argParser(wholeNumber)

/** @param io the world outside; commands throw ConfigError or CommandError for the caller to print */
export const createProgram = (io: Io, version: string): Command => {
  const program = new Command('berth')
    .description('A streaming, multi-tenant proxy for the Docker Engine API.')
    .version(version)
    .showHelpAfterError('(--help says how it is used)')
    .configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.err(text.trimEnd()),
    })
    .exitOverride()
  program
    .command('up')
    .description(
      'run on this machine: finds the local engine, or starts a private one from Debian packages',
    )
    .addOption(listen())
    .addOption(engine())
    .addOption(profile())
    .addOption(log())
    .addOption(drain())
    .action((flags) => up(io, flags))
  program
    .command('serve')
    .description('run in the foreground until SIGTERM')
    .addOption(config())
    .addOption(listen())
    .addOption(engine())
    .addOption(domain())
    .addOption(storeOption())
    .addOption(stateOption())
    .option(
      '--anonymous',
      'serve one tenant, without asking who it is (loopback and unix sockets only)',
    )
    .option('--force', 'let an anonymous listener be reached from other machines')
    .addOption(allowedHosts())
    .addOption(profile())
    .addOption(log())
    .addOption(workers())
    .addOption(drain())
    .action((flags) => serve(io, flags))
  program
    .command('explain <file>')
    .description(
      'what berth would do to the JSON body of a container create, key by key ("-": standard input)',
    )
    .addOption(config())
    .addOption(profile())
    .addOption(tenant())
    .addOption(storeOption())
    .addOption(stateOption())
    .option('--json', 'print JSON, for programs')
    .action((file, flags) => explain(io, file, flags))
  program
    .command('policy')
    .description('what tenants may do')
    .command('show')
    .description('print every rule as it holds under a policy')
    .addOption(config())
    .addOption(profile())
    .addOption(tenant())
    .addOption(storeOption())
    .addOption(stateOption())
    .option('--json', 'print JSON, for programs')
    .action((flags) => showPolicy(io, flags))
  addTenantCommands(program, io)
  addAuthorityCommands(program, io)
  addContextCommand(program, io)
  return program
}
