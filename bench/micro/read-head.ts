/** Finding the end of a head that came in one piece. */
import { HeadReader } from '../../src/wire/read-head.ts'
import { REQUEST } from './heads.ts'
import { time } from './time.ts'

const bytes = Buffer.from(`${REQUEST}\r\n\r\n`)
const reader = new HeadReader()

await time(() => reader.read(bytes, 0, bytes.length))
