/** What processes of others have started, as Linux tells it. */
import { readdirSync, readFileSync } from 'node:fs'

const startedBy = (pid: number, thread: string): string => {
  try {
    return readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')
  } catch {
    return '' // it has ended meanwhile
  }
}

/** The children of a process, whichever of its threads has started them. */
export const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`)
    .flatMap((thread) => startedBy(pid, thread).split(' '))
    .filter((child) => child !== '')
    .map(Number)
