/** Files that nobody else may read, made whole or not at all. */

import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { Failure } from '../errors.ts'

/** Rights that a secret must not give. Its group may read it, because mounted secrets often come so. */
const TOO_OPEN = 0o027

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

const unusable = (path: string, error: unknown): Failure => {
  const reason = error instanceof Error ? error.message : String(error)
  return new Failure('SECRET_UNUSABLE', `${path}: ${reason}`, error)
}

/** Runs `action`; what the system says of it becomes SECRET_UNUSABLE. */
const naming = <T>(path: string, action: () => T): T => {
  try {
    return action()
  } catch (error) {
    throw error instanceof Failure ? error : unusable(path, error)
  }
}

const withFile = <T>(path: string, flags: string, action: (file: number) => T): T => {
  const file = openSync(path, flags, 0o600)
  try {
    return action(file)
  } finally {
    closeSync(file)
  }
}

/** The text of a secret file, or undefined when there is none. Throws SECRET_UNUSABLE when others can read it. */
export const readSecretFile = (path: string): string | undefined => {
  const read = (file: number): string => {
    if (fstatSync(file).mode & TOO_OPEN) {
      throw new Failure(
        'SECRET_UNUSABLE',
        `others can read or change ${path}: chmod 600, or make a new one if they did`,
      )
    }
    return readFileSync(file, 'utf8')
  }
  return naming(path, () => {
    try {
      return withFile(path, 'r', read)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  })
}

/** Writes a draft beside `path`, lets `publish` give it its name, and makes sure that all of it is on disk. */
const write = (path: string, text: string, publish: (draft: string) => void): void => {
  const directory = dirname(path)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    withFile(draft, 'wx', (file) => {
      writeFileSync(file, text)
      fsyncSync(file)
    })
    publish(draft)
    withFile(directory, 'r', fsyncSync)
  } finally {
    rmSync(draft, { force: true })
  }
}

/** Makes the file with mode 0600 unless another process was faster. Returns the text that is there now. */
export const createSecretFile = (path: string, text: string): string => {
  naming(path, () =>
    write(path, text, (draft) => {
      try {
        linkSync(draft, path)
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error
      }
    }),
  )
  return readSecretFile(path) ?? text
}

/** Makes or replaces the file, with mode 0600. */
export const replaceSecretFile = (path: string, text: string): void => {
  naming(path, () => write(path, text, (draft) => renameSync(draft, path)))
}
