/** The commands and their flags, as `berth --help` shows them. */
import { Command, Option } from 'commander'
import { LOG_LEVELS } from '../observe/log.ts'
import type { Io } from './io.ts'
import { serve } from './serve.ts'
import { up } from './up.ts'

const listen = () =>
  new Option(
    '--listen <url...>',
    'where clients connect: tcp://HOST:PORT or unix:///PATH (several: repeat it)',
  )
const engine = () =>
  new Option('--engine <url>', 'the Docker engine: unix:///PATH or tcp://HOST:PORT')
const config = () =>
  new Option('--config <file>', 'berth.yaml; flags and BERTH_* variables win over it')
const log = () =>
  new Option('--log <level>', 'the least severe line to log, to standard error').choices(LOG_LEVELS)
const allowHost = () =>
  new Option(
    '--allow-host <name...>',
    'a further host name that an anonymous TCP listener answers to',
  )
const drain = () =>
  new Option(
    '--drain-seconds <n>',
    'how long a stop waits for streams to end (default 30)',
  ).argParser(Number)

/** @param io the world outside; commands throw ConfigError or CommandError for the caller to print */
export const createProgram = (io: Io, version: string): Command => {
  const program = new Command('berth')
    .description('A streaming, multi-tenant proxy for the Docker Engine API.')
    .version(version)
    .showHelpAfterError('(see berth --help)')
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
    .addOption(log())
    .addOption(drain())
    .action((flags) => up(io, flags))
  program
    .command('serve')
    .description('run in the foreground until SIGTERM')
    .addOption(config())
    .addOption(listen())
    .addOption(engine())
    .option(
      '--anonymous',
      'serve one tenant, without asking who it is (loopback and unix sockets only)',
    )
    .option('--force', 'let an anonymous listener be reached from other machines')
    .addOption(allowHost())
    .addOption(log())
    .addOption(drain())
    .action((flags) => serve(io, flags))
  return program
}
