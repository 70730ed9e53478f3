"""Telling plugins what happened: after the commit, best effort.  The tables are the truth."""

from __future__ import annotations

import logging

from pydantic import BaseModel

from autoposter.assembling import Unequipped, parsed_options, post_of
from autoposter.plugins import NoPublisher
from autoposter.publishers import Account, Post, Receipt
from autoposter.publishers.base import Nothing
from autoposter.store import happenings
from autoposter.store.snapshots import Snapshot
from autoposter.workbench import Workbench

log = logging.getLogger(__name__)


def tell(event: str, about: int, bench: Workbench) -> None:
    """Tell the plugins that listen of an event; `about` is the id of the job, post or account."""
    match event:
        case "autoposter_post_published" | "autoposter_post_failed" | "autoposter_post_unconfirmed":
            _tell_about_job(event, about, bench)
        case "autoposter_post_missed":
            _tell_about_post(event, about, bench)
        case "autoposter_account_disconnected":
            _tell_about_account(event, about, bench)
        case _:
            log.warning("a message tells of %s, which is no event", event)


def _tell_about_job(event: str, job_id: int, bench: Workbench) -> None:
    """`autoposter_post_published`, `_failed` or `_unconfirmed`, from the job's own snapshot."""
    happened = happenings.job(job_id)
    if happened is None:
        return  # its post was deleted
    receipt = Receipt(happened.platform_post_id or "", happened.permalink)
    bench.host.notify(event, post=_post(happened.snapshot, bench), receipt=receipt, error=happened.error or "")


def _tell_about_post(event: str, post_id: int, bench: Workbench) -> None:
    """`autoposter_post_missed`, from the post as it stands."""
    snapshot = happenings.post(post_id)
    if snapshot is not None:
        bench.host.notify(event, post=_post(snapshot, bench))


def _tell_about_account(event: str, account_id: int, bench: Workbench) -> None:
    """`autoposter_account_disconnected`.  Listeners get the account without its credentials."""
    found = happenings.account(account_id)
    if found is None:
        return
    row, error = found
    account = Account(id=row.id, name=row.name, external_id=row.external_id, settings=Nothing(), credentials=Nothing())
    bench.host.notify(event, account=account, error=error)


def _post(snapshot: Snapshot, bench: Workbench) -> Post:
    return post_of(snapshot, snapshot.content, snapshot.idempotency_key, _options(snapshot, bench), bench.shelf)


def _options(snapshot: Snapshot, bench: Workbench) -> BaseModel:
    """The typed options; empty ones where nobody brings the platform, or they are what was wrong."""
    try:
        return parsed_options(bench.host.publisher_for(snapshot.account.platform), snapshot.content)
    except (NoPublisher, Unequipped):
        return Nothing()
