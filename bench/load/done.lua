-- Every request finishes another job: thread t of T the jobs done-t, done-(t+T), ...
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
function init(args)
  stride, next_id = tonumber(args[1]), number
end
function request()
  local id = next_id
  next_id = next_id + stride
  return wrk.format("POST", "/job/done/bench/done-" .. id)
end
