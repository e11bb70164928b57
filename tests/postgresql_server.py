"""A PostgreSQL server of the suite's own: made in a temporary folder, stopped by its process id, and removed.

It is Debian's ``postgresql`` package (or any whose programs are found). PostgreSQL refuses to run as root, so that under
root it runs as ``postgres`` or ``nobody``. Its socket stands in its own folder, which needs no free port; over TCP, on
loopback alone, it asks for passwords. It is set up to be quick and *not* to wait for the disk by itself, so that what
the ledger asks of it can be seen.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

PACKAGE = "PostgreSQL is not installed (no initdb and postgres); Debian's package is: apt-get install postgresql"
OWNER = "cput"
START_S = 60.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "fsync": "off",  # no test pulls the plug, and cloning a database is many small files
    "full_page_writes": "off",
    "synchronous_commit": "off",  # the ledger must ask for it itself
    "max_wal_size": "2GB",  # no checkpoint in mid-suite
    "autovacuum": "off",
    "lc_messages": "C",
}


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL found, or None."""
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found = [folder for folder in debian if folder.parent.name.isdigit()]
    on_path = shutil.which("initdb")
    folders = sorted(found, key=lambda folder: int(folder.parent.name), reverse=True)
    folders += [Path(on_path).resolve().parent] if on_path else []
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


class PostgreSQL:
    """One server. ``start`` and ``stop`` may be repeated; ``remove`` ends it for good."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder
        self._as = _plain_user()
        self.folder = Path(tempfile.mkdtemp(prefix="cput-postgresql-"))
        self._data = self.folder / "data"
        self.password = secrets.token_urlsafe(12)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        if self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self._initialise()

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is not None:
            return
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        place = ["-D", str(self._data), "-k", str(self.folder), "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", *place, *settings],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the suite, which stops the server when it is done
                **self._as,
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.sql("SELECT 1")
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start ({error}):\n{self.log}") from error
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT hangs up on everybody, SIGQUIT is a crash from which the next start recovers."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(START_S)

    def remove(self) -> None:
        """Stop it and remove its folder."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder)

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text(errors="replace")

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the owner, by itself, and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def url(self, database: str = "postgres", schema: str | None = None) -> str:
        """Return the address of a database, or of one of its schemas, through the socket."""
        path = f"&options=-csearch_path%3D{schema}" if schema else ""
        return f"postgresql://{OWNER}@/{database}?host={self.folder}&port={self.port}{path}"

    def tcp_url(self, database: str = "postgres", user: str = OWNER, password: str | None = None) -> str:
        """Return the address of a database, through TCP; for the owner with its password unless told."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """Yield the name of a new database, and drop it. It is some 300 files: a schema is quicker."""
        name = self._new_name()
        self.sql(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        try:
            yield name
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    @contextlib.contextmanager
    def schema(self) -> Iterator[str]:
        """Yield the address of a new schema in the database ``postgres``, and drop it."""
        name = self._new_name()
        self.sql(f"CREATE SCHEMA {name}")
        try:
            yield self.url(schema=name)
        finally:
            self.sql(f"DROP SCHEMA {name} CASCADE")

    def _new_name(self) -> str:
        self._made += 1
        return f"made_{self._made}"

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # inside a folder that only the server's user enters
        trust = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--username={OWNER}", f"--pwfile={secret}"]
        plain = ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [self._bin / "initdb", "-D", self._data, *trust, *plain],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **self._as,
        )
        if done.returncode:
            shutil.rmtree(self.folder)
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")


def _plain_user() -> dict[str, Any]:
    """Return as whom to run the programs: nobody else unless we are root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
