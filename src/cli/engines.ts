/** The engines that a config names, with the certificates and keys for them: read and checked before anybody needs them. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Config, ConfigError, type EngineConfig } from '../config/config.ts'
import { DEFAULT_ENDPOINT } from '../endpoint/directory.ts'
import type { Place } from '../endpoint/endpoint.ts'
import { type EngineAddress, parseEngineAddress, type TlsPeer } from '../upstream/address.ts'
import { naming } from './naming.ts'

type Material = Pick<TlsPeer, 'ca' | 'certificate' | 'key'>
/** Paths of PEM files. */
type Files = { readonly [Name in keyof Material]?: string | undefined }

const MATERIAL = ['ca', 'certificate', 'key'] as const

/** What makes of a text of each kind an error, where it is none. */
const CHECKS = {
  ca: (text) => new X509Certificate(text),
  certificate: (text) => new X509Certificate(text),
  key: (text) => createPrivateKey(text),
} as const satisfies Record<keyof Material, (text: string) => unknown>

const read = (name: keyof Material, path: string): string => {
  const text = readFileSync(path, 'utf8')
  try {
    CHECKS[name](text)
  } catch (error) {
    const kind = name === 'key' ? 'private key' : 'certificate'
    throw new Error(`${path} holds no ${kind} in PEM: ${(error as Error).message}`, {
      cause: error,
    })
  }
  return text
}

/** @throws ConfigError that names the key of what cannot be read, or does not fit */
const materialOf = (key: string, files: Files): Material => {
  const material = Object.fromEntries(
    MATERIAL.map((name) => {
      const path = files[name]
      return [name, path && naming(`${key}.${name}`, () => read(name, path))]
    }),
  ) as Material
  if ((material.certificate === undefined) !== (material.key === undefined))
    throw new ConfigError(`${key}: certificate and key go together`)
  if (material.certificate === undefined || material.key === undefined) return material
  const certificate = new X509Certificate(material.certificate)
  if (!certificate.checkPrivateKey(createPrivateKey(material.key)))
    throw new ConfigError(`${key}.key: ${files.key} is not the key of ${files.certificate}`)
  return material
}

/** An address with what it needs; `otherwise` holds where nothing is said of its own. */
const addressOf = (
  key: string,
  config: { readonly url: string } & Files,
  otherwise?: EngineAddress,
): EngineAddress => {
  const address = naming(key, () => parseEngineAddress(config.url))
  const said = MATERIAL.find((name) => config[name] !== undefined)
  if (address.kind === 'tls')
    return said === undefined && otherwise?.kind === 'tls'
      ? { ...otherwise, ...address }
      : { ...address, ...materialOf(key, config) }
  if (said === undefined) return address
  throw new ConfigError(`${key}.${said}: only tls:// addresses take one`)
}

const placeOf = (key: string, config: EngineConfig): Place => {
  const address = addressOf(key, config)
  if (config.build === undefined) return { address }
  const build = addressOf(`${key}.build`, config.build, address)
  return { address, build: build.kind === 'tls' ? { ...build, speaks: 'h2' } : build }
}

/** @throws ConfigError that names the key */
export const namedEngines = (
  config: Pick<Config, 'engine' | 'endpoints'>,
): ReadonlyMap<string, Place> => {
  if (config.engine !== undefined && Object.hasOwn(config.endpoints, DEFAULT_ENDPOINT))
    throw new ConfigError(
      `endpoints.${DEFAULT_ENDPOINT}: this is the engine that \`engine\` names; leave one of them out`,
    )
  const named = new Map<string, Place>()
  if (config.engine !== undefined) named.set(DEFAULT_ENDPOINT, placeOf('engine', config.engine))
  for (const [name, engine] of Object.entries(config.endpoints))
    named.set(name, placeOf(`endpoints.${name}`, engine))
  return named
}
