"""The plans by which PostgreSQL runs statements in our sessions."""

import json
from typing import Any

from boss.postgres.connection import Connection


async def nodes_of_plan(connection: Connection, statement: str) -> list[dict[str, Any]]:
    """The nodes of the plan of a statement: one that knows no parameters, as our sessions make them.

    The statement is prepared by hand: asyncpg sends no EXPLAIN with parameters that are not given, and PostgreSQL 15
    has no EXPLAIN (GENERIC_PLAN).
    """
    await connection.execute(f"PREPARE planned AS {statement}")
    count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'planned'"
    values = ["NULL"] * await connection.fetchval(count)
    execute = f"EXECUTE planned ({', '.join(values)})" if values else "EXECUTE planned"
    explained = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {execute}"))
    await connection.execute("DEALLOCATE planned")
    nodes: list[dict[str, Any]] = [each["Plan"] for each in explained]
    for node in nodes:
        nodes.extend(node.get("Plans", ()))
    return nodes
