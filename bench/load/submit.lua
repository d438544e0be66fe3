-- Every request submits a job of 200 bytes.
wrk.method = "POST"
wrk.path = "/job/available/bench"
wrk.body = '{"payload":"' .. string.rep("x", 186) .. '"}'
