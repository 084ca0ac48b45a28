/** The words that tables of policy are written in: verdicts, profiles, shapes and rows. */

import type { Hearing, Reference } from './hearing.ts'
import { fold, integer, isList, isMap, type Json } from './json.ts'

export const PROFILES = ['dedicated', 'shared', 'open'] as const
export type Profile = (typeof PROFILES)[number]

/**
 * allow: sent as it is. clamp: brought within limits. confine: only what is on a list, or made harmless.
 * deny: refused unless it is what clients send when they mean nothing. drop: never sent, never a reason to refuse.
 */
export const VERDICTS = ['allow', 'clamp', 'confine', 'deny', 'drop'] as const
export type Verdict = (typeof VERDICTS)[number]
export type Verdicts = Readonly<Record<Profile, Verdict>>

export const everywhere = (verdict: Verdict): Verdicts => ({
  dedicated: verdict,
  shared: verdict,
  open: verdict,
})

/** For what reaches the engine's own host: a tenant alone in a VM must not get there either. */
export const reachesHost = (verdict: Verdict): Verdicts => ({
  dedicated: verdict,
  shared: verdict,
  open: 'allow',
})

/** For what touches only other tenants of the same engine. */
export const reachesNeighbours = (verdict: Verdict): Verdicts => ({
  dedicated: 'allow',
  shared: verdict,
  open: 'allow',
})

// === shapes ===

/** What the engine decodes a value into. `null` fits every shape, as it does in Go. */
export type Shape =
  | { readonly is: 'string' | 'bool' | 'int' }
  | { readonly is: 'list'; readonly of: Shape }
  | { readonly is: 'map'; readonly of: Shape }
  | Struct

export interface Struct {
  readonly is: 'struct'
  readonly rows: ReadonlyMap<string, Row>
  /** Folded name -> canonical name: Go takes any key that folds to a field's name for that field. */
  readonly spelling: ReadonlyMap<string, string>
  /** Rows that may add something when the client sent nothing, in the order in which they are sent. */
  readonly completed: readonly (readonly [string, Row])[]
}

/** Is it what Go's decoder leaves behind when nothing is sent, however a client spells that? */
export const isZero = (shape: Shape, value: Json): boolean => {
  if (value === null || value === false || value === '') return true
  if (shape.is === 'int') return integer(value) === 0n
  if (isList(value)) return value.length === 0
  if (!isMap(value)) return false
  if (shape.is !== 'struct') return value.size === 0
  return [...value].every(([name, member]) => {
    const row = shape.rows.get(name)
    return row === undefined || isZero(row.shape, member)
  })
}

export type Table = Readonly<Record<string, Row>>

const streams = (row: Row): boolean => row.opens === true || row.add !== undefined

export const struct = (table: Table): Struct => {
  const entries = Object.entries(table)
  return {
    is: 'struct',
    rows: new Map(entries),
    spelling: new Map(entries.map(([name]) => [fold(name), name])),
    // What could have streamed stands first, as it would if it had been sent.
    completed: [
      ...entries.filter(([, row]) => streams(row)),
      ...entries.filter(([, row]) => row.force !== undefined),
    ],
  }
}

export const STRING: Shape = { is: 'string' }
export const BOOL: Shape = { is: 'bool' }
/** A 64-bit integer; narrower Go types are left to the engine to refuse. */
export const INT: Shape = { is: 'int' }
export const listOf = (of: Shape): Shape => ({ is: 'list', of })
export const mapOf = (of: Shape): Shape => ({ is: 'map', of })
export const STRINGS = listOf(STRING)
export const STRING_MAP = mapOf(STRING)
/** A Go `map[string]struct{}`. */
export const SET = mapOf(struct({}))

// === rows ===

/** What to send for a value, or why not. */
export type Outcome = { readonly send: Json } | { readonly refuse: string; readonly cure?: string }

export type Judge = (value: Json, hearing: Hearing) => Outcome

/** A member of the same object: as it will be sent where that is settled, else as the client sent it. */
export type Sibling = (name: string) => Json | undefined

/** What is sent in the end; `sent` is what the rules left of the client's value. */
export type Force = (sent: Json | undefined, hearing: Hearing, sibling: Sibling) => Json | undefined

/** One key of a body, or one parameter of a query. */
export interface Row {
  readonly shape: Shape
  readonly verdicts: Verdicts
  /** What the value would give away: completes "HostConfig.Privileged is not allowed: it ...". */
  readonly why?: string
  /** What its sender can do instead, in the words of docker's own options. */
  readonly cure?: string
  /** Values that mean nothing, where that is not Go's zero value. */
  readonly isZero?: (value: Json) => boolean
  /** For clamp and confine: of the whole value, after the rows of its members. Never sees a zero value. */
  readonly judge?: Judge
  /** For clamp and confine: of each element of a list or each value of a map; `strip` takes out single ones. */
  readonly each?: Judge
  /** For clamp and confine: runs at the end of the object, whether the key was sent or not. */
  readonly force?: Force
  /** A map that streams: which of its keys stay. */
  readonly keep?: (key: string, hearing: Hearing) => boolean
  /** A map that streams: what is added at its end. */
  readonly add?: (hearing: Hearing) => ReadonlyMap<string, Json>
  /** The objects of the engine that the value names. */
  readonly names?: (value: Json) => readonly Reference[]
  /** An object judged member by member as it arrives, never held. */
  readonly opens?: true
}

/** A table of rows that are never anybody's danger. */
export const harmless = <Name extends string>(
  shapes: Readonly<Record<Name, Shape>>,
): Readonly<Record<Name, Row>> => {
  const rows = {} as Record<Name, Row>
  for (const name of Object.keys(shapes) as Name[]) {
    rows[name] = { shape: shapes[name], verdicts: everywhere('allow') }
  }
  return rows
}

/** A body that a route takes. */
export interface Body {
  /** Put before each path in messages and in `policies:` of berth.yaml. */
  readonly prefix: string
  readonly shape: Struct
  /** May the body be absent altogether? */
  readonly optional?: true
}
