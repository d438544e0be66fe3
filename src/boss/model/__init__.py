"""The terms of Boss: jobs, commands, permissions, source limits. Pure: no input, no output."""
