/** The arguments of `docker top`: `ps` runs on the engine's host, as root, and sees all of its processes. */
import { type Json, text } from './json.ts'
import type { Judge } from './table.ts'
import { refuse, send } from './values.ts'

/** Letters that choose processes and whole formats, in which a PID has only single words before it. */
const FLAGS = /^-?[AaefFlujwx]{1,8}$/
const COLUMNS = /^(?:-[Aae]{0,2}o|o) ([a-z_%]{1,16}(?:,[a-z_%]{1,16}){0,31})$/

/**
 * Columns that may stand before `pid`. The engine takes the n-th word of a line for the PID, where `PID` is the n-th
 * word of the header, and shows lines whose PID is the container's: with `lstart` before it, that would be the year.
 */
const SINGLE_WORDS = new Set([
  ...['pid', 'ppid', 'pgid', 'pgrp', 'sid', 'sess', 'tid', 'lwp', 'nlwp'],
  ...['user', 'euser', 'ruser', 'uid', 'euid', 'ruid', 'gid', 'egid', 'rgid'],
  ...['c', 'pcpu', '%cpu', 'pmem', '%mem', 'rss', 'rsz', 'vsz', 'vsize', 'sz', 'size'],
  ...['f', 'ni', 'nice', 'pri', 'psr', 'cls', 's', 'stat', 'state', 'tty', 'tt', 'tname'],
  ...['time', 'cputime', 'etime', 'etimes'],
])

/** What follows the last `pid` says nothing of whose line it is. */
const isAligned = (columns: readonly string[]): boolean =>
  columns.slice(0, columns.lastIndexOf('pid')).every((column) => SINGLE_WORDS.has(column))

const columnsOf = (args: string): readonly string[] | undefined =>
  COLUMNS.exec(args)?.[1]?.split(',')

export const psArgs: Judge = (value: Json) => {
  const columns = columnsOf(text(value))
  if (columns === undefined) {
    return FLAGS.test(text(value))
      ? send(value)
      : refuse('it is no plain list of options or columns for ps')
  }
  if (!columns.includes('pid')) return refuse('without the column pid nothing could be shown')
  return isAligned(columns)
    ? send(value)
    : refuse('a column before pid can be of several words, which would be taken for a PID')
}
