/** Makes what a judged create needs before the engine may see it: volumes, and folders in them. */
import { Failure } from '../errors.ts'
import type { Preparation } from '../policy/hearing.ts'
import { ask, type EngineAnswer } from '../upstream/ask.ts'
import type { Pool } from '../upstream/pool.ts'
import { folderTar } from './folder-tar.ts'
import { removeContainer } from './remove.ts'

/** Where the volume is mounted in the container that only exists to be written into. */
const MOUNT_POINT = '/berth'
/** A device in every container, whatever its image holds, and which nobody can execute, root neither. */
const NO_PROGRAM = '/dev/null'
const JSON_TYPE = 'application/json'

/** Engines say so of the version that a request speaks (moby, api/server/middleware/version.go). */
const OTHER_VERSION = /client version \S+ is too (?:new|old)/

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

const unable = (what: string, { status, body }: EngineAnswer): Failure =>
  new Failure('ENGINE_REFUSED', `${what}: ${status} ${body.toString('latin1', 0, 300).trim()}`)

/** The body of a create. */
export interface Create {
  readonly HostConfig?: object
  readonly [key: string]: unknown
}

/**
 * A container to write into a volume by. It is never started, and of no use to a tenant who learns of it and does:
 * nothing in it runs, within all the limits of his own.
 * @param least a create that asks for nothing but an image, as the policy sends it
 */
export const helperOf = (least: Create, volume: string): Create => ({
  ...least,
  Entrypoint: [NO_PROGRAM],
  Cmd: [],
  NetworkDisabled: true,
  HostConfig: {
    ...least.HostConfig,
    NetworkMode: 'none',
    CapAdd: [],
    CapDrop: ['ALL'],
    ReadonlyRootfs: true,
    Mounts: [
      {
        Type: 'volume',
        Source: volume,
        Target: MOUNT_POINT,
        VolumeOptions: { NoCopy: true },
      },
    ],
  },
})

/** Folders of one volume are made by one archive, unpacked into a container that is never started. */
const makeFolders = async (
  pool: Pool,
  version: string,
  least: Create,
  volume: string,
  paths: readonly string[],
): Promise<void> => {
  const created = await ask(pool, {
    method: 'POST',
    target: `/${version}/containers/create`,
    contentType: JSON_TYPE,
    body: json(helperOf(least, volume)),
  })
  // no such image: the create that follows says so in the words that make docker pull it
  if (created.status === 404) return
  if (created.status !== 201) throw unable('a folder could not be made', created)
  const { Id } = JSON.parse(created.body.toString()) as { Id: string }
  try {
    const put = await ask(pool, {
      method: 'PUT',
      target: `/${version}/containers/${Id}/archive?path=${encodeURIComponent(MOUNT_POINT)}`,
      contentType: 'application/x-tar',
      body: folderTar(paths),
    })
    if (put.status !== 200) throw unable('a folder could not be made', put)
  } finally {
    await removeContainer(pool, version, Id)
  }
}

/**
 * Idempotent: what is there already stays as it is.
 * @param version of the API that the request itself speaks, as `v1.51`
 * @param least a create of the image that the container will have, and that asks for nothing more: some image is needed
 *   to write into a volume
 * @throws Failure ENGINE_REFUSED or that of the connection
 */
export const prepare = async (
  pool: Pool,
  version: string,
  least: Create | undefined,
  preparations: readonly Preparation[],
): Promise<void> => {
  const folders = new Map<string, string[]>()
  const volumes = new Set<string>()
  for (const preparation of preparations) {
    if (preparation.kind === 'subpath') {
      folders.set(preparation.volume, [
        ...(folders.get(preparation.volume) ?? []),
        preparation.path,
      ])
      continue
    }
    const { name, labels, options } = preparation
    if (volumes.has(name)) continue
    volumes.add(name)
    const answer = await ask(pool, {
      method: 'POST',
      target: `/${version}/volumes/create`,
      contentType: JSON_TYPE,
      body: json({ Name: name, Labels: Object.fromEntries(labels), DriverOpts: options }),
    })
    // it says so itself to the create that follows
    if (answer.status === 400 && OTHER_VERSION.test(answer.body.toString())) return
    if (answer.status !== 201) throw unable(`the volume ${name} could not be made`, answer)
  }
  if (least === undefined) return
  for (const [volume, paths] of folders) await makeFolders(pool, version, least, volume, paths)
}
