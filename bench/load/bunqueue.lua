-- The whole life of a job in bunqueue, by its HTTP: added, pulled, acknowledged; the same work as load/cycle.lua.
local add, pull = nil, nil
local pulled, available = {}, 0
finished = 0
local threads = {}
function setup(thread)
  table.insert(threads, thread)
end
function init(args)
  local type = {["Content-Type"] = "application/json"}
  add = wrk.format("POST", "/queues/bench/jobs", type, '{"data":{"payload":"' .. string.rep("x", 186) .. '"}}')
  pull = wrk.format("GET", "/queues/bench/jobs")
  json = type
end
function request()
  local id = table.remove(pulled)
  if id then
    return wrk.format("POST", "/jobs/" .. id .. "/ack", json, "{}")
  elseif available > 0 then
    available = available - 1
    return pull
  end
  return add
end
function response(status, headers, body)
  local id = string.match(body, '^{"ok":true,"job":{"id":"([^"]+)"')
  if id then
    table.insert(pulled, id)
  elseif string.find(body, '"job":null', 1, true) then
    available = available + 1
  elseif string.find(body, '^{"ok":true,"id":"') then
    available = available + 1
  elseif string.find(body, '^{"ok":true') then
    finished = finished + 1
  end
end
function done(summary, latency, requests)
  local cycles = 0
  for _, thread in ipairs(threads) do
    cycles = cycles + thread:get("finished")
  end
  io.write(string.format("cycles %d\n", cycles))
end
