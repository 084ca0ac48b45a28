/** Tenants in a store of a test's own, for berths in processes of their own and for the operator's real commands. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { dockerCommand, type Ran } from '../../fixtures/docker.ts'
import { openRecords } from '../../src/cli/tenancy.ts'
import {
  createRegistry,
  type Keyed,
  type NewTenant,
  type Registry,
} from '../../src/tenant/registry.ts'
import { type Berth, type BerthOptions, launchBerth } from './berth.ts'

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))

export interface Teardown {
  teardown(handler: () => unknown): void
}

export interface Tenancy {
  readonly state: string
  readonly registry: Registry
  /** Adds a tenant without limits on what he does there. */
  add(tenant: Pick<NewTenant, 'name' | 'endpoint'> & Partial<NewTenant>): Promise<Keyed>
  /** Runs `berth ARGS...` on these tenants, with docker in its path. */
  command(...args: readonly string[]): Promise<Ran>
  /** A command that has to succeed. */
  order(...args: readonly string[]): Promise<string>
  /** A berth that serves them until the test ends. */
  serve(options?: Omit<BerthOptions, 'engine'>): Promise<Berth>
}

/** @param store a URL; the embedded store unless given */
export const openTenancy = async (t: Teardown, store?: string): Promise<Tenancy> => {
  const state = mkdtempSync(join(tmpdir(), 'berth-tenancy-'))
  t.teardown(() => rmSync(state, { recursive: true, force: true }))
  const records = await openRecords({ state, store })
  t.teardown(() => records.store.close())
  const registry = createRegistry({ ...records, now: Date.now, onForged: () => undefined })
  const places: Record<string, string> = {
    BERTH_STATE: state,
    ...(store !== undefined && { BERTH_STORE: store }),
  }

  const command = async (...args: readonly string[]): Promise<Ran> => {
    const { env } = await dockerCommand('')
    const child = spawn(process.execPath, [MAIN, ...args], { env: { ...env, ...places } })
    child.stdin.end()
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ])
    return { code, stdout, stderr }
  }

  return {
    state,
    registry,
    command,
    add: (tenant) => registry.add({ policy: 'open', plan: 'default', ...tenant }),
    order: async (...args) => {
      const ran = await command(...args)
      if (ran.code !== 0) throw new Error(`berth ${args.join(' ')}: ${JSON.stringify(ran)}`)
      return ran.stdout
    },
    serve: async (options = {}) => {
      const berth = await launchBerth({ ...options, env: { ...places, ...options.env } })
      t.teardown(() => berth.stop())
      return berth
    },
  }
}
