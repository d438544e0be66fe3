"""The store: one function for each statement, the connections they run on, and the embedded PostgreSQL."""
