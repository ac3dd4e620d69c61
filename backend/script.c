/* The numbers are offsets into a record, from 0 and inclusive: see record.h. */
#include "script.h"

#define SCRIPT(text, sha1)                                                                         \
    {                                                                                              \
        text, sizeof text - 1, sha1                                                                \
    }

const struct coat_script coat_script_save =
    SCRIPT("if ARGV[4] and redis.call('GET', KEYS[2]) ~= ARGV[4] then return -1 end\n"
           "local rev = redis.call('GETRANGE', KEYS[1], 4, 11)\n"
           "if rev == '' then return 0 end\n"
           "if rev ~= ARGV[1] then return redis.call('GET', KEYS[1]) end\n"
           "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])\n"
           "return 1\n",
           "02d38162a32e7a19b0224128a6b0d7ac516790c2");

/*
 * `other` is whether the other id opens the record: offered (11), or in its grace period (00).
 * A value too short to be a record is not ours to delete. What becomes of the index changes
 * nothing.
 */
const struct coat_script coat_script_logout = SCRIPT(
    "local ids = redis.call('GETRANGE', KEYS[1], 46, 85)\n"
    "if ids == '' then return 0 end\n"
    "if #ids < 40 then return -1 end\n"
    "local other = ids:byte(33) >= 192\n"
    "   or ids:byte(33) < 128 and struct.unpack('>I8', ids:sub(33)) > tonumber(ARGV[2])\n"
    "if ids:sub(1, 16) ~= ARGV[1] and not (other and ids:sub(17, 32) == ARGV[1]) then return -1 end\n"
    "local head = redis.call('GETRANGE', KEYS[1], 0, 511)\n"
    "redis.call('DEL', KEYS[1], KEYS[2])\n"
    "if KEYS[3] then redis.pcall('ZREM', KEYS[3], ARGV[3]) end\n"
    "return head\n",
    "7c70c03141fb83d88e697770fca090155a3fc53f");

const struct coat_script coat_script_end =
    SCRIPT("local p = redis.call('GETRANGE', KEYS[1], 119, 118 + #ARGV[1])\n"
           "if p == '' then return 0 end\n"
           "if p ~= ARGV[1] and p:byte(1) ~= 0xc0 then return -1 end\n"
           "return redis.call('DEL', KEYS[1], KEYS[2])\n",
           "2e96db104de859cf28fdde3272bcc6dc457b55d2");

const struct coat_script coat_script_enter = SCRIPT(
    "local t = redis.call('TIME')\n"
    "for i = 4, #ARGV do redis.call('ZREM', KEYS[1], ARGV[i]) end\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000))\n"
    "local known = redis.call('ZSCORE', KEYS[1], ARGV[1])\n"
    "if not known and tonumber(ARGV[3]) > 0 and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then\n"
    "  return redis.call('ZRANGE', KEYS[1], 0, 32767)\n"
    "end\n"
    "redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])\n"
    "redis.call('PEXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])\n"
    "return redis.status_reply('ENTERED')\n",
    "09b8eb04d2dc7a810da3c737c96ef50d4849a870");

const struct coat_script coat_script_unlock =
    SCRIPT("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
           "return redis.call('DEL', KEYS[1])\n",
           "3c9c9e0fad36a4c131785264072fb16c2f7347b2");

/* Lua's numbers have 53 bits, so the sum stays text. */
const struct coat_script coat_script_incr =
    SCRIPT("local new = redis.call('EXISTS', KEYS[1]) == 0\n"
           "if new and ARGV[2] == '' then return false end\n"
           "if new and ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2])\n"
           "elseif new then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])\n"
           "else redis.call('INCRBY', KEYS[1], ARGV[1]) end\n"
           "return redis.call('GET', KEYS[1])\n",
           "a3c438e6e20e5285f30ff748cec86b6cf4eb2afe");

/*
 * What is there is part of the lock, so that what is written meanwhile is not written over. What is
 * no string is nothing, here and in the next one: it is made anew, as if it were damaged.
 */
const struct coat_script coat_script_claim =
    SCRIPT("local lock, value = redis.call('GET', KEYS[1]), redis.pcall('GET', KEYS[2])\n"
           "if type(value) == 'table' then value = false end\n"
           "local ours = not lock or lock:sub(1, 16) == ARGV[1]\n"
           "if not lock then\n"
           "  redis.call('SET', KEYS[1], ARGV[1] .. redis.sha1hex(value or ''), 'PX', ARGV[2])\n"
           "end\n"
           "return {ours and 1 or 0, value, redis.call('PTTL', KEYS[2])}\n",
           "2f5f1773b6c85238c7df7a2f57203cfbe5f7ca73");

/* The lock goes in any case: who could not write has made it from what is out of date. */
const struct coat_script coat_script_fill =
    SCRIPT("local lock = redis.call('GET', KEYS[1])\n"
           "if not lock or lock:sub(1, 16) ~= ARGV[1] then return 0 end\n"
           "redis.call('DEL', KEYS[1])\n"
           "local value = redis.pcall('GET', KEYS[2])\n"
           "if type(value) == 'table' then value = false end\n"
           "if lock:sub(17) ~= redis.sha1hex(value or '') then return -1 end\n"
           "if ARGV[3] == '0' then redis.call('SET', KEYS[2], ARGV[2])\n"
           "elseif ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end\n"
           "return 1\n",
           "476279177bea536f6935c2d7f2ae7674d9c8763a");

const struct coat_script coat_script_swap =
    SCRIPT("local there = redis.call('GET', KEYS[1])\n"
           "if not there then return 0 end\n"
           "if redis.sha1hex(there) ~= ARGV[1] then return there == ARGV[2] and -2 or -1 end\n"
           "if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2])\n"
           "else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end\n"
           "return 1\n",
           "8c60252cd2c08937139c66a5cb18565f45063981");
