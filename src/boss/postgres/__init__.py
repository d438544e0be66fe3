"""The store: one function a statement, the connections that they run on, and the embedded PostgreSQL."""
