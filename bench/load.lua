-- What wrk sends, and how it reports the answers: as one line of JSON after "BENCH ".
--
-- The first argument says what is sent:
--   plain        the same GET each time
--   varied       a GET with a new query each time
--   post SIZE    a POST with that many bytes
--   many COUNT   a GET of /app-000/ ... at random

local function varied()
  local head, rest = wrk.format(nil, wrk.path .. "?n=0"):match("^(.-%?n=)0(.*)$")
  local count = 0
  return function()
    count = count + 1
    return head .. count .. rest
  end
end

local function many(count)
  local heads = {}
  for number = 0, count - 1 do
    heads[number + 1] = wrk.format(nil, string.format("/app-%03d/", number))
  end
  return function()
    return heads[math.random(count)]
  end
end

function init(args)
  local mode = args[1]
  if mode == "post" then
    wrk.method = "POST"
    wrk.body = string.rep("x", tonumber(args[2]))
  elseif mode == "varied" then
    request = varied() -- a global of wrk; if it is not set, wrk makes one request and repeats it
  elseif mode == "many" then
    request = many(tonumber(args[2]))
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'BENCH {"requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, '
      .. '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
