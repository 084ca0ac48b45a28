/** Judging and rewriting the create body of a `docker run` without options. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bodyOf, judgeBody } from '../../src/policy/body.ts'
import { PROFILE_POLICIES } from '../../src/policy/effective.ts'
import { ROOT } from '../places.ts'
import { time } from './time.ts'

const bytes = readFileSync(join(ROOT, 'fixtures/create/create-cli-28.5.2-run-noopts.json'))
const body = bodyOf('container.create')
if (body === undefined) throw new Error('container.create has no rules')

await time(() => judgeBody(PROFILE_POLICIES.dedicated, body, bytes))
