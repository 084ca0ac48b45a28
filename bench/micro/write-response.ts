/** ResponseHead -> text. */
import { parseResponseHead } from '../../src/wire/parse-response.ts'
import { writeResponseHead } from '../../src/wire/write-head.ts'
import { RESPONSE } from './heads.ts'
import { time } from './time.ts'

const head = parseResponseHead(RESPONSE, 'GET')

await time(() => writeResponseHead('GET', head, head.framing, false))
