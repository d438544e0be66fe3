-- Every request takes a job, of which there have to be enough.
wrk.method = "GET"
wrk.path = "/job/available"
