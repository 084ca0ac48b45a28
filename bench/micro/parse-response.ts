/** Text of a response head -> ResponseHead. */
import { parseResponseHead } from '../../src/wire/parse-response.ts'
import { RESPONSE } from './heads.ts'
import { time } from './time.ts'

await time(() => parseResponseHead(RESPONSE, 'GET'))
