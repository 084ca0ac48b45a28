/** The queries that carry power, by route. */

import type { Query } from '../route/query.ts'
import type { RouteId } from '../route/routes.ts'
import { BUILD } from './build-query.ts'
import { change } from './changes.ts'
import type { Reference } from './hearing.ts'
import { isPullAllowed, printImage, pullOf } from './images.ts'
import { type Json, text } from './json.ts'
import type { Policy } from './policy.ts'
import { psArgs } from './ps.ts'
import { everywhere, type Row, reachesHost, STRING, STRINGS, type Struct, struct } from './table.ts'
import { oneOf, refuse, send } from './values.ts'

export interface QueryRules {
  /** Put before each key in messages and in `policies:` of berth.yaml. */
  readonly prefix: string
  readonly shape: Struct
  /** Of several parameters together: what is wrong with them, and the cure. */
  readonly together?: (
    query: Query,
    policy: Policy,
  ) => readonly [why: string, cure: string] | undefined
}

const names =
  (kind: Reference['kind']) =>
  (value: Json): readonly Reference[] =>
    text(value) === '' ? [] : [{ kind, name: text(value) }]

const named = (kind: Reference['kind']): Row => ({
  shape: STRING,
  verdicts: everywhere('allow'),
  names: names(kind),
})

const CHANGES: Row = {
  shape: STRINGS,
  verdicts: everywhere('confine'),
  each: change,
  why: 'the engine itself would carry it out',
  cure: 'Leave out --change, or build it from a Dockerfile.',
}

/** The engine copies it into logs, answers and events; nothing longer can be named here. */
const MAX_NAME = 255

const CONTAINER_NAME: Row = {
  shape: STRING,
  verdicts: reachesHost('confine'),
  judge: (value) =>
    text(value).length <= MAX_NAME ? send(value) : refuse(`it is longer than ${MAX_NAME}`),
  why: 'the engine writes it beside what it logs',
  cure: 'Give a shorter --name.',
}

const CHECKPOINT: Row = {
  shape: STRING,
  verdicts: reachesHost('deny'),
  why: "checkpoints are directories of the engine's host",
  cure: 'Leave out --checkpoint and --checkpoint-dir.',
}

export const QUERIES: Partial<Record<RouteId, QueryRules>> = {
  'build.start': { prefix: 'build', shape: struct(BUILD) },
  'build.cancel': { prefix: 'build', shape: struct({ id: named('build') }) },
  'container.create': { prefix: 'create', shape: struct({ name: CONTAINER_NAME }) },
  'container.rename': { prefix: 'rename', shape: struct({ name: CONTAINER_NAME }) },
  'container.start': {
    prefix: 'start',
    shape: struct({ checkpoint: CHECKPOINT, 'checkpoint-dir': CHECKPOINT }),
  },
  'container.top': {
    prefix: 'top',
    shape: struct({
      ps_args: {
        shape: STRING,
        verdicts: reachesHost('confine'),
        judge: psArgs,
        why: 'ps runs on the host, as root',
        cure: 'Give -o pid,user,args or other columns, pid before the longer ones, or nothing.',
      },
    }),
  },
  'image.create': {
    prefix: 'pull',
    shape: struct({
      fromSrc: {
        shape: STRING,
        verdicts: reachesHost('confine'),
        judge: oneOf('-'),
        why: 'the engine would fetch from an address of your choice',
        cure: 'Download it and use docker import -.',
      },
      repo: named('tag'),
      changes: CHANGES,
    }),
    together: (query, policy) => {
      const image = pullOf(query)
      return image === undefined || isPullAllowed(policy, image)
        ? undefined
        : [
            `${printImage(image)} does not come from a place that is allowed here`,
            `Use an image of ${policy.images?.join(', ') || 'your own'}.`,
          ]
    },
  },
  'image.tag': { prefix: 'tag', shape: struct({ repo: named('tag') }) },
  'image.commit': {
    prefix: 'commit',
    shape: struct({ container: named('container'), repo: named('tag'), changes: CHANGES }),
  },
}
