/** An engine behind a berth that lets nobody out, and what is left on the engine by those who tried. */
import type { Test } from 'tap'
import { type Engine, type EngineOptions, startEngine } from '../../fixtures/engine.ts'
import { Berth } from '../../src/cli/berth.ts'
import { readConfig } from '../../src/config/config.ts'
import { type Api, createApi } from './api.ts'

export interface Fenced {
  readonly engine: Engine
  /** Of the berth, which runs in this process. */
  readonly url: string
  /** The engine without berth, as its operator sees it. */
  readonly direct: Api
  /** The engine as the tenant sees it. */
  readonly through: Api
}

/** @param yaml more of berth.yaml; the profile is `dedicated` unless it says otherwise */
export const startFenced = async (
  t: Test,
  { yaml = '', ...options }: EngineOptions & { readonly yaml?: string } = {},
): Promise<Fenced> => {
  const engine = await startEngine(options)
  t.teardown(() => engine.stop())
  const url = await fence(t, engine, yaml)
  const direct = createApi(engine.url)
  const through = createApi(url)
  t.teardown(() => {
    direct.close()
    through.close()
  })
  return { engine, url, direct, through }
}

/** Another berth in front of the same engine; resolves to its URL. */
export const fence = async (t: Test, engine: Pick<Engine, 'url'>, yaml = ''): Promise<string> => {
  const flags = {
    listen: ['tcp://127.0.0.1:0'],
    engine: engine.url,
    anonymous: true,
    log: 'silent',
    drainSeconds: 0,
  }
  const config = readConfig({ env: {}, flags, file: { name: 'berth.yaml', text: yaml } })
  const berth = await Berth.create(config)
  await berth.start()
  t.teardown(() => berth.stop())
  return berth.urls[0]!
}

/** The names of everything that a tenant can leave on an engine. */
export const leavings = async ({ direct }: Pick<Fenced, 'direct'>): Promise<readonly string[]> => {
  const [containers, volumes, networks, images] = await Promise.all([
    direct.json<{ Names: string[] }[]>('GET', '/containers/json?all=1'),
    direct.json<{ Volumes: { Name: string }[] | null }>('GET', '/volumes'),
    direct.json<{ Name: string }[]>('GET', '/networks'),
    direct.json<{ Id: string }[]>('GET', '/images/json'),
  ])
  return [
    ...containers.flatMap(({ Names }) => Names),
    ...(volumes.Volumes ?? []).map(({ Name }) => `volume ${Name}`),
    ...networks.map(({ Name }) => `network ${Name}`),
    ...images.map(({ Id }) => `image ${Id}`),
  ].toSorted()
}
