"""The verbs: what a submit, a take, a check, a finish and a give-back mean, group commit, and who waits."""
