/** A berth in this process, in front of an engine: for tests that send bytes of their own. */
import type { Test } from 'tap'
import { Berth } from '../../src/cli/berth.ts'
import { type Config, readConfig } from '../../src/config/config.ts'

/**
 * @param changes to its limits; `file` is a berth.yaml
 * @returns its URL; it is stopped when the test is over
 */
export const startFront = async (
  t: Test,
  engine: string,
  changes: Partial<Config['limits']> & {
    readonly profile?: string
    readonly file?: string
  } = {},
): Promise<string> => {
  const { profile = 'open', file, ...limits } = changes
  const config = readConfig({
    env: {},
    ...(file !== undefined && { file: { name: 'berth.yaml', text: file } }),
    flags: {
      listen: ['tcp://127.0.0.1:0'],
      engine,
      anonymous: true,
      profile,
      allowedHosts: ['d'],
      log: 'silent',
      drainSeconds: 0,
    },
  })
  const berth = await Berth.create({ ...config, limits: { ...config.limits, ...limits } })
  await berth.start()
  t.teardown(() => berth.stop())
  return berth.urls[0]!
}
