"""The database as an administrator has it."""

import asyncio

import asyncpg


def execute(database: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(database)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run())
