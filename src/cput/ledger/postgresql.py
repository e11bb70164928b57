"""Opens a database on a PostgreSQL server: commits wait for the disk, readers cannot write, nothing waits for ever.

The driver is psycopg 3, which comes with the extra ``cput[postgresql]``.
"""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text

from cput.errors import InputError, SetupError
from cput.ledger.address import Server
from cput.ledger.faults import BUSY_TIMEOUT_S

OLDEST = 13
"""The first version that can say whether a transaction was committed (``pg_xact_status`` of an ``xid8``)."""
_LOCK = 0x43505554
"""Key of the advisory lock under which a schema is migrated: ``CPUT``."""
_LIBPQ = {
    "connect_timeout": "10",
    "keepalives_idle": "30",  # a server that vanished is noticed after a minute, not after the kernel's two hours
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "client_encoding": "utf8",
    "fallback_application_name": "cput",
}
_PATIENCE = f"SET lock_timeout = {int(BUSY_TIMEOUT_S * 1000)}"
# A commit is on the server's disk when it returns. Stronger settings (replicas) are left as they are.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"


def engine(server: Server, *, writing: bool) -> Engine:
    """Return connections to the database; those that are not for writing cannot write, and see one snapshot each.

    A connection that the server hung up on while it was not used is replaced without a word.

    Raises:
        SetupError: when the driver is not installed.
    """
    defaults = {name: value for name, value in _LIBPQ.items() if name not in server.url.query}
    try:
        made = create_engine(
            server.url,
            connect_args=defaults,
            isolation_level="READ COMMITTED" if writing else "REPEATABLE READ",
            pool_size=1 if writing else 4,
            max_overflow=16,
            pool_pre_ping=True,
            use_native_hstore=False,  # spares a question on connecting
        )
    except ImportError as error:
        raise SetupError(
            f"the ledger {server} is on PostgreSQL, and its driver is missing ({error}). "
            "Run: pip install 'cput[postgresql]'"
        ) from error

    @event.listens_for(made, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.autocommit = True  # settings of the session, and not of a transaction
        for statement in (_PATIENCE, _DURABLE) if writing else (_PATIENCE,):
            connection.execute(statement)
        connection.autocommit = False
        connection.read_only = not writing

    return made


def refuse_unfit(connection: Connection, server: Server) -> None:
    """Refuse a server that is too old, a database that cannot keep every character, and one without a schema."""
    version = connection.dialect.server_version_info or (0,)
    if version < (OLDEST,):
        raise SetupError(
            f"the server of the ledger {server} is PostgreSQL {'.'.join(map(str, version))}; "
            f"allowed: {OLDEST} or later. Upgrade it"
        )
    encoding, schema = connection.execute(text("SELECT current_setting('server_encoding'), current_schema()")).one()
    if encoding != "UTF8":
        raise SetupError(
            f"the database of the ledger {server} is encoded in {encoding}, which cannot keep every text. "
            "Make another one: CREATE DATABASE cput ENCODING 'UTF8' TEMPLATE template0"
        )
    if schema is None:
        raise SetupError(
            f"the search_path of the ledger {server} names no schema that exists. Run: CREATE SCHEMA, or mend its path"
        )


def refuse_strangers(connection: Connection, server: Server) -> None:
    """Leave a schema that is not a ledger's untouched."""
    tables = inspect(connection).get_table_names()
    if tables and "cput_migrations" not in tables:
        raise InputError(
            f"{server} is a database but not a ledger (it has tables {', '.join(sorted(tables)[:3])}). "
            "Name another database, or a schema of its own: ?options=-csearch_path=cput"
        )


def wait_for_turn(connection: Connection) -> None:
    """Let one process at a time migrate, till its transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
