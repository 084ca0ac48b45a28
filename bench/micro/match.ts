/** Request target -> route, version, names and query. */
import { match } from '../../src/route/match.ts'
import { time } from './time.ts'

const TARGETS = [
  '/v1.51/containers/json',
  '/v1.51/containers/6c3a1d7f0b0e/json',
  '/v1.51/images/registry.example.com/team/app/json',
  '/v1.51/containers/bench/logs?follow=1&stderr=1&stdout=1&tail=all',
] as const
let turn = 0

await time(() => {
  turn = (turn + 1) & 3
  return match('GET', TARGETS[turn] ?? '')
})
