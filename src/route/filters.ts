/** The `filters` of lists, prunes and events: two notations on the wire, one here. */

import { type Json, strictJson } from './strict-json.ts'

const STRUCTURED = /^ *[[{]/

/** Whether a query value sets out to be a JSON object or array. */
export const isStructured = (text: string): boolean => STRUCTURED.test(text)

/**
 * Filters in one canonical notation, `{"label":{"a=b":true}}` with sorted keys, or undefined where the engine would
 * refuse them. It reads lists of values too (`{"label":["a=b"]}`, API < 1.22), but not both in one object;
 * it looks only at the keys of a map, so `false` filters like `true`.
 * Text that is no object at all passes: the engine refuses it, or finds nothing in it.
 */
export const readFilters = (text: string): string | undefined => {
  if (!isStructured(text)) return text
  const value = strictJson(text)
  if (!isObject(value)) return undefined
  const entries = Object.entries(value)
  const read = [readMap, readList].find((read) => entries.every(([, values]) => read(values)))
  if (!read) return undefined
  return JSON.stringify(
    sorted(entries.map(([name, values]) => [name, sorted((read(values) ?? []).map(toMember))])),
  )
}

const readMap = (values: Json): readonly string[] | undefined => {
  if (values === null) return []
  if (!isObject(values)) return undefined
  return Object.values(values).every((value) => typeof value === 'boolean')
    ? Object.keys(values)
    : undefined
}

const readList = (values: Json): readonly string[] | undefined => {
  if (values === null) return []
  return Array.isArray(values) && values.every((value) => typeof value === 'string')
    ? values
    : undefined
}

const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const toMember = (value: string): [string, true] => [value, true]

/** fromEntries defines properties, so a key called `__proto__` is a key like any other. */
const sorted = <T>(entries: [string, T][]): Record<string, T> =>
  Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
