/** `berth serve`: runs in the foreground until a signal says stop. */
import { readFileSync } from 'node:fs'
import { type Config, type ConfigSources, readConfig } from '../config/config.ts'
import { Berth, listenAddresses } from './berth.ts'
import { CommandError, type Io } from './io.ts'
import { untilStopped } from './until-stopped.ts'
import { isWorker, runWorkers } from './workers.ts'

/** A config comes from a file (--config, BERTH_CONFIG), the environment and flags. */
export const sourcesFrom = (io: Io, flags: Record<string, unknown>): ConfigSources => {
  const { config, ...rest } = flags
  const name = (config as string | undefined) ?? (io.env.BERTH_CONFIG || undefined)
  return {
    env: io.env,
    flags: rest,
    ...(name !== undefined && { file: { name, text: readText(name) } }),
  }
}

export const configFrom = (io: Io, flags: Record<string, unknown>): Config =>
  readConfig(sourcesFrom(io, flags))

const readText = (name: string): string => {
  try {
    return readFileSync(name, 'utf8')
  } catch (error) {
    throw new CommandError(`${name}: ${(error as Error).message}`, { cause: error })
  }
}

export const serve = async (io: Io, flags: Record<string, unknown>): Promise<void> => {
  const config = configFrom(io, flags)
  if (config.workers > 1 && !isWorker()) return runWorkers(io, config, listenAddresses(config))
  const berth = await Berth.create(config)
  await berth.start()
  for (const url of berth.urls) io.out(`listening on ${url}`)
  // what there is to say the primary says for all
  const teller = isWorker() ? { ...io, err: () => {} } : io
  await untilStopped(teller, config.drainSeconds, (now) => berth.stop(now))
}
