"""`autoposter migrate`."""

from __future__ import annotations

from autoposter import migrations
from autoposter.cli import session


def migrate() -> None:
    """Make the tables, or bring them up to date.  Any number may run at once."""
    with session.database(migrated=False):
        applied = migrations.migrate()
    for migration in applied:
        print(f"Applied {migration.number:04} {migration.name}.")
    if not applied:
        print("The database is up to date.")
