/** Reads along with the answer to a pull: what came, if it came. */
import type { Watch } from './errand.ts'

/** A line of progress has a few hundred bytes. */
const MAX_LINE = 65_536
const NEWLINE = 10
const DIGEST = /^Digest: (sha256:[0-9a-f]{64})$/
const SUCCESS = /^Status: (?:Downloaded newer image|Image is up to date) for /

/** @param onPulled gets the digests of the manifests, of which each tag has one; awaited before the answer ends */
export const watchPull = (onPulled: (digests: readonly string[]) => Promise<void>): Watch => {
  const digests = new Set<string>()
  let line = Buffer.alloc(0)
  let hasSucceeded = false
  let hasFailed = false
  const read = (text: string): void => {
    if (text.trim() === '') return
    const said = parsed(text)
    if (said === undefined || 'error' in said || 'errorDetail' in said) hasFailed = true
    const status = typeof said?.status === 'string' ? said.status : ''
    const digest = DIGEST.exec(status)?.[1]
    if (digest !== undefined) digests.add(digest)
    if (SUCCESS.test(status)) hasSucceeded = true
  }
  return {
    saw: (data) => {
      if (hasFailed) return
      line = Buffer.concat([line, data])
      for (let end = line.indexOf(NEWLINE); end !== -1; end = line.indexOf(NEWLINE)) {
        read(line.toString('utf8', 0, end))
        line = line.subarray(end + 1)
      }
      if (line.length > MAX_LINE) hasFailed = true
    },
    ended: async () => {
      read(line.toString())
      if (hasSucceeded && !hasFailed) await onPulled([...digests])
    },
  }
}

const parsed = (text: string): Readonly<Record<string, unknown>> | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}
