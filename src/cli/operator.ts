/** What an operator's command works with: the tenants of a store, opened for as long as the command runs. */
import { type OperatorConfig, readOperatorConfig } from '../config/config.ts'
import { createRegistry, type Registry } from '../tenant/registry.ts'
import type { Seal } from '../tenant/seal.ts'
import type { Io } from './io.ts'
import type { RecordFlags } from './options.ts'
import { sourcesFrom } from './serve.ts'
import { openRecords } from './tenancy.ts'

export interface Office {
  readonly config: OperatorConfig
  readonly registry: Registry
  readonly seal: Seal
}

/** @throws ConfigError */
export const operatorConfig = (io: Io, { config, store, state }: RecordFlags): OperatorConfig =>
  readOperatorConfig(sourcesFrom(io, { config, store, state }))

/** Runs `action` on the tenants that the flags name. Throws what it throws, or a Failure of store or secret. */
export const inOffice = async <T>(
  io: Io,
  flags: RecordFlags,
  action: (office: Office) => Promise<T>,
): Promise<T> => {
  const config = operatorConfig(io, flags)
  const { store, seal } = await openRecords(config)
  const onForged = (record: string): void =>
    io.err(
      `berth: ${record} in the store was not written by a berth with this secret; it is ignored`,
    )
  try {
    return await action({
      config,
      seal,
      registry: createRegistry({ store, seal, now: Date.now, onForged }),
    })
  } finally {
    await store.close()
  }
}
