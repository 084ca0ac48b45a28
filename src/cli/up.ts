/** `berth up`: everything on this machine, with an engine of its own where none is running. */
import { type ConfigSources, readConfig, readOperatorConfig } from '../config/config.ts'
import { DEFAULT_ENDPOINT } from '../endpoint/directory.ts'
import { parseEngineAddress, printEngineAddress } from '../upstream/address.ts'
import { Berth } from './berth.ts'
import { askVersion } from './engine-version.ts'
import { namedEngines } from './engines.ts'
import { userFolder } from './folders.ts'
import type { Io } from './io.ts'
import { type PrivateEngine, startPrivateEngine } from './private-engine.ts'
import { sourcesFrom } from './serve.ts'
import { untilStopped } from './until-stopped.ts'

const LOCAL_ENGINE = 'unix:///var/run/docker.sock'
const USUAL_ADDRESS = 'tcp://127.0.0.1:2375'
const ANY_PORT = 'tcp://127.0.0.1:0'
const DEFAULTS = { log: 'warn', profile: 'open' }

export const up = async (io: Io, flags: Record<string, unknown>): Promise<void> => {
  const sources = sourcesFrom(io, { ...flags, anonymous: true })
  const named = namedEngines(readOperatorConfig(sources)).get(DEFAULT_ENDPOINT)?.address
  let address = named ?? parseEngineAddress(LOCAL_ENGINE)
  let version = await askVersion(address)
  let ours: PrivateEngine | undefined
  if (version === undefined && named === undefined) {
    io.out(
      'No Docker engine answers on this machine; starting a private one from Debian packages (the first time: a minute).',
    )
    ours = await startPrivateEngine({
      cache: io.env.BERTH_CACHE || userFolder(io.env, 'XDG_CACHE_HOME'),
      state: io.env.BERTH_STATE || userFolder(io.env, 'XDG_STATE_HOME'),
    })
    address = parseEngineAddress(ours.url)
    version = await askVersion(address)
  }
  try {
    const engine = printEngineAddress(address)
    const defaults = named === undefined ? { ...DEFAULTS, engine } : DEFAULTS
    const berth = await startWhereFree({ ...sources, defaults })
    report(io, berth, engine, version, ours)
    await untilStopped(io, berth.drainSeconds, (now) => berth.stop(now))
  } finally {
    await ours?.stop()
  }
}

/** The usual port, or any other when somebody has it already and nobody asked for that one. */
const startWhereFree = async (sources: ConfigSources): Promise<Berth> => {
  const start = async (listen: object): Promise<Berth> => {
    const defaults = { ...sources.defaults, ...listen }
    const berth = await Berth.create(readConfig({ ...sources, defaults }))
    await berth.start()
    return berth
  }
  try {
    return await start({ listen: [USUAL_ADDRESS] })
  } catch (error) {
    const isChosen = readOperatorConfig(sources).listen !== undefined
    if (isChosen || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    return start({ listen: [ANY_PORT] })
  }
}

const report = (
  io: Io,
  berth: Berth,
  engine: string,
  version: string | undefined,
  ours: PrivateEngine | undefined,
): void => {
  io.out(
    version === undefined
      ? `The engine at ${engine} does not answer yet.`
      : `Docker engine ${version} at ${engine}`,
  )
  if (ours !== undefined)
    io.out(`Its docker, compose and buildx: export PATH=${ours.clientPath}:$PATH`)
  io.out('berth is ready. Ctrl-C stops it. In another shell:')
  io.out('')
  io.out(`  export DOCKER_HOST=${berth.urls[0]}`)
  io.out('  docker run --rm busybox echo hi')
  io.out('')
  io.out(`DOCKER_HOST=${berth.urls[0]}`)
}
