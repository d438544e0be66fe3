"""Boss, a job dispatcher over plain HTTP on PostgreSQL."""
