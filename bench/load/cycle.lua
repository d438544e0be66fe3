-- The whole life of a job: submitted, taken, done. What was answered decides what is asked next. The argument is the
-- size of a document, 200 bytes without one.
local submit = nil
local taken, available = {}, 0
finished = 0
local threads = {}
function setup(thread)
  table.insert(threads, thread)
end
-- Text that does not compress away: PostgreSQL compresses a document above 2 kB.
function filled(size)
  if size < 1000 then
    return string.rep("x", size)
  end
  local letters = {}
  for n = 1, size do
    letters[n] = string.char(math.random(97, 122))
  end
  return table.concat(letters)
end
function init(args)
  submit = wrk.format("POST", "/job/available/bench", nil, '{"payload":"' .. filled((tonumber(args[1]) or 200) - 14) .. '"}')
  take = wrk.format("GET", "/job/available")
end
function request()
  local id = table.remove(taken)
  if id then
    return wrk.format("POST", "/job/done/bench/" .. id)
  elseif available > 0 then
    available = available - 1
    return take
  end
  return submit
end
function response(status, headers, body)
  if status == 201 then
    available = available + 1
  elseif status == 200 then
    local id = string.match(body, '^{"id":"([^"]+)","source":"bench","job"')
    if id then
      table.insert(taken, id)
    else
      finished = finished + 1
    end
  elseif status == 404 then
    available = available + 1
  end
end
function done(summary, latency, requests)
  local cycles = 0
  for _, thread in ipairs(threads) do
    cycles = cycles + thread:get("finished")
  end
  io.write(string.format("cycles %d\n", cycles))
end
