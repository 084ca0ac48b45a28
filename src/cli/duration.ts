/** Spans and points of time as people write them on a command line. */

const UNITS = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
} as const satisfies Record<string, number>

const DURATION = /^(\d{1,9})([smhdw])$/

/** `90d`, `12h`, `30m`, `45s`, `2w` in ms; undefined for anything else. */
export const parseDuration = (text: string): number | undefined => {
  const [, count, unit] = DURATION.exec(text) ?? []
  return unit === undefined ? undefined : Number(count) * UNITS[unit as keyof typeof UNITS]
}

/** A point in time to the second, in UTC: `2026-01-31T12:00:00Z`. */
export const printTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`
