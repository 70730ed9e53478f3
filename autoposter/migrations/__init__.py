"""Numbered migrations of plain SQL: `NNNN_name.sql` beside this file, frozen once released.

Each runs in one transaction under an advisory lock, so that any number of `autoposter migrate` may run at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from autoposter.database import execute, rows, transaction
from autoposter.errors import Refused

#: The advisory lock that only one migration holds at a time ("autopost" in ASCII).
LOCK = 0x6175746F706F7374

OUR_TABLES = ("channel_account", "content_item", "media_asset", "post_instance", "publish_job", "worker")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All migrations that this version brings, oldest first."""
    found = []
    for file in files(__package__).iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def migrate() -> list[Migration]:
    """Bring the schema up to date; returns what was applied.  Raises Refused for a schema that is not ours or newer."""
    return [migration for migration in migrations() if _apply(migration)]


def _apply(migration: Migration) -> bool:
    with transaction():
        execute("select pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
        applied = schema_version()
        if applied is None:
            _refuse_foreign_tables()
            execute(
                "create table autoposter_migration"
                " (number integer primary key, name text not null, applied_at timestamptz not null default now())"
            )
            applied = 0
        if applied > migrations()[-1].number:
            raise Refused(_newer(applied))
        if applied >= migration.number:
            return False
        execute(migration.sql.replace("%", "%%"), {})
        execute(
            "insert into autoposter_migration (number, name) values (%(number)s, %(name)s)",
            {"number": migration.number, "name": migration.name},
        )
        return True


def schema_version() -> int | None:
    """The number of the last migration applied; None: autoposter never was in this schema."""
    if not _present("autoposter_migration"):
        return None
    return int(execute("select coalesce(max(number), 0) from autoposter_migration").fetchone()[0])


def require_current_schema() -> None:
    """Raises Refused, in one sentence, on a schema that is older or newer than this version."""
    with transaction():
        applied = schema_version()
    newest = migrations()[-1].number
    if applied is None or applied < newest:
        have = "has no autoposter tables" if applied is None else f"stands at migration {applied} of {newest}"
        raise Refused(f"The database {have}: run `autoposter migrate` first.")
    if applied > newest:
        raise Refused(_newer(applied))


def _newer(applied: int) -> str:
    newest = migrations()[-1].number
    return (
        f"The database stands at migration {applied}, and this version of autoposter knows only {newest}:"
        " install the newer autoposter here too."
    )


def _refuse_foreign_tables() -> None:
    foreign = [name for name in OUR_TABLES if _present(name)]
    if foreign:
        raise Refused(
            f"The database already has a table named {', '.join(foreign)} that autoposter did not make:"
            " give autoposter a database or schema of its own."
        )


def _present(table: str) -> bool:
    return bool(
        rows(
            "select 1 from pg_catalog.pg_tables where schemaname = current_schema() and tablename = %(table)s",
            {"table": table},
        )
    )
