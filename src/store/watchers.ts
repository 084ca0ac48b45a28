/** Who hears of which change, and when some were missed: the part of a watch that every store has in common. */

import type { Watcher } from './store.ts'

export interface Watchers {
  readonly size: number
  /** The revision up to which everything has been told. */
  readonly position: number
  add(prefix: string, watcher: Watcher): () => void
  /** Tells of one commit. One that was told before is ignored; a gap before it is told as `missed`. */
  changed(revision: number, keys: readonly string[]): void
  /** Starts anew at `revision`, knowing nothing of what came before. */
  missed(revision: number): void
}

export const createWatchers = (): Watchers => {
  const entries = new Set<{ readonly prefix: string; readonly watcher: Watcher }>()
  let position = 0

  const missed = (revision: number): void => {
    position = revision
    for (const { watcher } of entries) watcher.missed()
  }

  return {
    get size() {
      return entries.size
    },
    get position() {
      return position
    },
    add: (prefix, watcher) => {
      const entry = { prefix, watcher }
      entries.add(entry)
      return () => {
        entries.delete(entry)
      }
    },
    changed: (revision, keys) => {
      if (revision <= position) return
      if (revision > position + 1) missed(revision)
      position = revision
      for (const { prefix, watcher } of entries) {
        for (const key of keys) if (key.startsWith(prefix)) watcher.changed(key)
      }
    },
    missed,
  }
}
