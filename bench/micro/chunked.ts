/** Following a chunked body of 1 MiB in chunks of 32 KiB. */
import { ChunkedTracker } from '../../src/wire/chunked.ts'
import { time } from './time.ts'

const chunk = Buffer.concat([Buffer.from('8000\r\n'), Buffer.alloc(0x8000), Buffer.from('\r\n')])
const body = Buffer.concat(Array.from({ length: 32 }, () => chunk))

await time(() => new ChunkedTracker().take(body, 0, body.length))
