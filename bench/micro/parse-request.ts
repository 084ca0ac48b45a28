/** Text of a request head -> RequestHead. */
import { parseRequestHead } from '../../src/wire/parse-request.ts'
import { REQUEST } from './heads.ts'
import { time } from './time.ts'

await time(() => parseRequestHead(REQUEST))
