-- Batches of so many jobs as NDJSON: submitted, taken, done. Each line of the take's answer becomes a line of the done.
local submit, take, todo = nil, nil, {}
local available = 0
finished = 0
local threads = {}
function setup(thread)
  table.insert(threads, thread)
end
function init(args)
  size = tonumber(args[1])
  local lines = {}
  for n = 1, size do
    lines[n] = '{"payload":"' .. string.rep("x", 186) .. '"}'
  end
  local type = {["Content-Type"] = "application/x-ndjson"}
  submit = wrk.format("POST", "/job/available/bench", type, table.concat(lines, "\n"))
  take = wrk.format("GET", "/job/available?limit=" .. size, {["Accept"] = "application/x-ndjson"})
end
function request()
  local lines = table.remove(todo)
  if lines then
    return wrk.format("POST", "/job/done/bench", {["Content-Type"] = "application/x-ndjson"}, lines)
  elseif available > 0 then
    available = available - 1
    return take
  end
  return submit
end
function response(status, headers, body)
  if status == 201 then
    available = available + 1
  elseif status == 404 then
    available = available + 1
  elseif status == 200 then
    if string.find(body, '"status":', 1, true) then
      local _, count = string.gsub(body, '"status":200', "")
      finished = finished + count
    else
      local lines = {}
      for id in string.gmatch(body, '{"id":"([^"]+)","source"') do
        lines[#lines + 1] = '{"id":"' .. id .. '"}'
      end
      todo[#todo + 1] = table.concat(lines, "\n")
    end
  end
end
function done(summary, latency, requests)
  local cycles = 0
  for _, thread in ipairs(threads) do
    cycles = cycles + thread:get("finished")
  end
  io.write(string.format("cycles %d\n", cycles))
end
