"""The verbs of Boss (submit, take, check, finish, give back), with group commit, waiting takers and maintenance."""
