"""What Boss speaks of: jobs, commands, permissions, limits. Pure: no input, no output."""
