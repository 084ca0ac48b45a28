/** What processes of others have started, as Linux tells it. */
import { readdirSync, readFileSync } from 'node:fs'

/** The children of a process, whichever of its threads has started them. */
export const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`)
    .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8'))
    .flatMap((pids) => pids.split(' '))
    .filter((child) => child !== '')
    .map(Number)
