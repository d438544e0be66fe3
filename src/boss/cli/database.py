"""PostgreSQL's URL: from the command line, the environment, or a file."""

from pathlib import Path

from boss.cli.application import give_up
from boss.cli.exit_codes import USAGE


def database_url(database: str | None, file: Path | None) -> str | None:
    """The database's URL from either option; None without one."""
    if file is None:
        return database
    if database is not None:
        give_up(
            "--database and --database-file (BOSS_DATABASE, BOSS_DATABASE_FILE) exclude each other; choose one", USAGE
        )
    try:
        url = file.read_text().strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        give_up(f"the file {file} with the database's URL cannot be read: {why}", USAGE)
    if not url or "\n" in url:
        give_up(f"the file {file} should hold the database's URL, in one line and nothing else", USAGE)
    return url
