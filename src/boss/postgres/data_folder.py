"""The folder of the embedded PostgreSQL: who owns the files in it, and how others are kept out.

    DATA/boss.lock         locked by the Boss that serves from this folder
    DATA/postgresql/       the database, in the format of one major version
    DATA/postgresql.log    PostgreSQL's log

Everybody who can reach PostgreSQL's socket is its superuser. When Boss is root, PostgreSQL runs as a user of its own.
That user must not be able to make root read or write anything elsewhere. So no link is followed, and every file or
folder is opened first and changed through its descriptor.
"""

import errno
import fcntl
import logging
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from boss.errors import StartError, WrongSetting

log = logging.getLogger("boss")

# The user that PostgreSQL runs as when Boss is root: it refuses to run as root.
SYSTEM_USER = "boss-db"
# The environment of the programs that Boss starts. It has nothing of Boss's own environment, which may have secrets.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
# The path of a Unix socket may have 107 bytes (unix(7)); "/.s.PGSQL.5432" takes 14 of them.
_LONGEST_SOCKET_FOLDER = 90
# In the list of socket folders, PostgreSQL reads a comma as a separator; other characters are special to a shell.
_PLAIN_PATH = re.compile(r"[\w./+@-]+")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class DataFolder:
    """The paths of a data folder, and the user that PostgreSQL runs as; None for Boss's own user."""

    data: Path
    user: pwd.struct_passwd | None
    sockets: Path

    @property
    def database(self) -> Path:
        return self.data / "postgresql"

    @property
    def log(self) -> Path:
        return self.data / "postgresql.log"

    @property
    def url(self) -> str:
        return f"postgresql://boss@/boss?host={quote(str(self.sockets), safe='/')}"


@contextmanager
def locked(data: Path) -> Iterator[Path]:
    """Lock the folder against any other Boss, and create it if needed; yields its real path.

    Raises:
        StartError: it cannot be written to, belongs to another user, or another Boss has locked it.
    """
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        data.mkdir(mode=0o700, exist_ok=True)
        real = data.resolve()
        lock = _open_own(real / "boss.lock", os.O_RDWR, os.geteuid())
    except (FileExistsError, NotADirectoryError) as error:
        wrong = next(path for path in (data, *data.parents) if path.exists() and not path.is_dir())
        raise WrongSetting(f"{wrong} is no folder; name a folder with --data") from error
    except OSError as error:
        raise WrongSetting(f"cannot write to the folder {data}: {error.strerror}; name a folder with --data") from error
    with open(lock, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(
                f"another Boss (process {file.read().strip() or 'unknown'}) serves from {data}; "
                "stop it, name another folder with --data, or run replicas on one PostgreSQL with --database"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield real


def _open_own(path: Path, flags: int, owner: int) -> int:
    """Open a file, and create it if needed. It must belong to the owner, be no link, and have no other name.

    Raises:
        StartError: it is not such a file.
    """
    try:
        file = os.open(path, flags | _FILE, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise StartError(f"{path} is not a file of Boss's; remove it") from error
        raise
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid not in (owner, os.geteuid()):
        os.close(file)
        raise StartError(f"{path} is a link, or belongs to somebody else; remove it")
    os.fchmod(file, 0o600)
    return file


def opened(data: Path) -> DataFolder:
    """Set owners and modes: only PostgreSQL can write to its database and log, and only Boss to the folder itself."""
    user = _system_user()
    with _opened_folder(data) as folder:
        _check_owner(data, os.fstat(folder), {os.geteuid(), user.pw_uid if user else os.geteuid()})
        mode = stat.S_IMODE(os.fstat(folder).st_mode)
        if mode & stat.S_ISVTX:
            raise StartError(f"others may write to {data}; name a folder of Boss's own with --data")
        if user:
            # PostgreSQL's user may enter the folder, but change nothing: what root opens here must be root's own.
            os.fchown(folder, os.geteuid(), user.pw_gid)
        os.fchmod(folder, mode & 0o755 | (0o710 if user else 0o700))
    if user:
        let_through(data)
    return DataFolder(data, user, _sockets(data / "postgresql", user))


def _sockets(database: Path, user: pwd.struct_passwd | None) -> Path:
    if len(os.fsencode(database)) <= _LONGEST_SOCKET_FOLDER and _PLAIN_PATH.fullmatch(str(database)):
        return database
    # A new folder each time, with a name that nobody can predict.
    around = "/run" if user and os.access("/run", os.W_OK) else tempfile.gettempdir()
    if len(os.fsencode(around)) > _LONGEST_SOCKET_FOLDER - 20 or not _PLAIN_PATH.fullmatch(around):
        around = "/tmp"  # noqa: S108
    made = Path(tempfile.mkdtemp(prefix="boss-", dir=around))
    own(made, user)
    return made


def forget_sockets(folder: DataFolder) -> None:
    """Remove the folder of the socket, if it was made for it."""
    if folder.sockets != folder.database:
        shutil.rmtree(folder.sockets, ignore_errors=True)


def own(path: Path, user: pwd.struct_passwd | None) -> None:
    """Give a folder that we have just created to PostgreSQL's user alone."""
    with _opened_folder(path) as folder:
        _check_owner(path, os.fstat(folder), {os.geteuid()})
        if user:
            os.fchown(folder, user.pw_uid, user.pw_gid)
        os.fchmod(folder, 0o700)


def check_database(folder: DataFolder) -> None:
    """Check that the database's folder belongs to PostgreSQL's user, so that nobody else can have put it there.

    Raises:
        StartError: it does not.
    """
    with _opened_folder(folder.database) as database:
        _check_owner(folder.database, os.fstat(database), {folder.user.pw_uid if folder.user else os.geteuid()})
        os.fchmod(database, 0o700)


def open_log(folder: DataFolder) -> int:
    """Prepare a log that only PostgreSQL's user reads and writes; return its current size in bytes."""
    owner = folder.user.pw_uid if folder.user else os.geteuid()
    file = _open_own(folder.log, os.O_WRONLY, owner)
    try:
        if folder.user:
            os.fchown(file, folder.user.pw_uid, folder.user.pw_gid)
        return os.fstat(file).st_size
    finally:
        os.close(file)


def read(path: Path) -> str:
    """The text of a file that is not a link.

    Raises:
        OSError: it is a link, or cannot be read.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), errors="replace") as file:
        return file.read()


@contextmanager
def _opened_folder(path: Path) -> Iterator[int]:
    try:
        folder = os.open(path, _FOLDER)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise StartError(f"{path} is a link, or no folder; only the folder of --data may be a link") from error
        raise StartError(f"the folder {path} cannot be opened: {error.strerror}") from error
    try:
        yield folder
    finally:
        os.close(folder)


def _check_owner(path: Path, facts: os.stat_result, owners: set[int]) -> None:
    if facts.st_uid not in owners:
        names = " or ".join(sorted(map(_name, owners)))
        belongs = f"{path} belongs to {_name(facts.st_uid)}, but should belong to {names}"
        raise StartError(f"{belongs}; chown it, or name another folder with --data")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _system_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartError(
            f"PostgreSQL does not run as root, and a user {SYSTEM_USER} for it cannot be made "
            f"({getattr(error, 'stderr', None) or error}); run Boss as another user, or give it --database"
        ) from error
    return pwd.getpwnam(SYSTEM_USER)


def let_through(path: Path) -> None:
    """Let others enter the folders above `path`, but not list them: PostgreSQL's user has to reach it."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.warning("PostgreSQL runs as %s, so others may now enter %s (chmod o+x)", SYSTEM_USER, parent)
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
