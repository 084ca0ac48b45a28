/** What must happen in Redis in one piece, as Lua. All keys share one hash tag, so a cluster runs these too. */

/**
 * KEYS: revision counter, index, then one record for each change.
 * ARGV: channel, then for each change its name, the revision expected ('' for any), 'put' or 'delete', the value.
 * Returns the revision of the commit, or nil when an expectation does not hold.
 */
const COMMIT = `
for i = 3, #KEYS do
  local expected = ARGV[(i - 3) * 4 + 3]
  if expected ~= '' and (redis.call('HGET', KEYS[i], 'revision') or '0') ~= expected then
    return false
  end
end
local revision = redis.call('INCR', KEYS[1])
local message = { revision }
for i = 3, #KEYS do
  local at = (i - 3) * 4 + 2
  local name, action, value = ARGV[at], ARGV[at + 2], ARGV[at + 3]
  if action == 'put' then
    redis.call('HSET', KEYS[i], 'value', value, 'revision', revision)
    redis.call('ZADD', KEYS[2], 0, name)
  else
    redis.call('DEL', KEYS[i])
    redis.call('ZREM', KEYS[2], name)
  end
  message[#message + 1] = name
end
redis.call('PUBLISH', ARGV[1], table.concat(message, '\\n'))
return revision
`

/** KEYS: lease, fence counter. ARGV: duration in ms. Returns the fence, or nil while the lease is held. */
const TAKE = `
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local fence = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], fence, 'PX', ARGV[1])
return fence
`

/** KEYS: lease. ARGV: fence, duration in ms. Returns 1 if the lease was still held under that fence. */
const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`

/** KEYS: lease. ARGV: fence. */
const RELEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`

export const SCRIPTS: Record<string, { lua: string; numberOfKeys?: number }> = {
  commitRecords: { lua: COMMIT },
  takeLease: { lua: TAKE, numberOfKeys: 2 },
  renewLease: { lua: RENEW, numberOfKeys: 1 },
  releaseLease: { lua: RELEASE, numberOfKeys: 1 },
}
