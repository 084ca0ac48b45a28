/** `berth up`: everything on this machine, with an engine of its own where none is running. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseEngineAddress } from '../upstream/address.ts'
import { Berth } from './berth.ts'
import { askVersion } from './engine-version.ts'
import type { Io } from './io.ts'
import { type PrivateEngine, startPrivateEngine } from './private-engine.ts'
import { configFrom } from './serve.ts'

const LOCAL_ENGINE = 'unix:///var/run/docker.sock'
const USUAL_ADDRESS = 'tcp://127.0.0.1:2375'
const ANY_PORT = 'tcp://127.0.0.1:0'

export const up = async (io: Io, flags: Record<string, unknown>): Promise<void> => {
  const named = (flags.engine as string | undefined) ?? io.env.BERTH_ENGINE
  const local = named ?? LOCAL_ENGINE
  let version = await askVersion(parseEngineAddress(local))
  let engine = local
  let ours: PrivateEngine | undefined
  if (version === undefined && named === undefined) {
    io.out(
      'No Docker engine answers on this machine; starting a private one from Debian packages (the first time: a minute).',
    )
    ours = await startPrivateEngine({
      cache:
        io.env.BERTH_CACHE ?? join(io.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'berth'),
      state:
        io.env.BERTH_STATE ??
        join(io.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state'), 'berth'),
    })
    engine = ours.url
    version = await askVersion(parseEngineAddress(engine))
  }
  try {
    const berth = await startWhereFree(io, {
      log: 'warn',
      anonymous: true,
      profile: 'open',
      ...flags,
      engine,
    })
    report(io, berth, engine, version, ours)
    await io.stopped
    await berth.stop()
  } finally {
    await ours?.stop()
  }
}

/** The usual port, or any other when somebody has it already and nobody asked for that one. */
const startWhereFree = async (io: Io, flags: Record<string, unknown>): Promise<Berth> => {
  const chosen = flags.listen !== undefined || io.env.BERTH_LISTEN !== undefined
  const start = async (listen: object): Promise<Berth> => {
    const berth = await Berth.create(configFrom(io, { ...flags, ...listen }))
    await berth.start()
    return berth
  }
  if (chosen) return start({})
  try {
    return await start({ listen: [USUAL_ADDRESS] })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
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
