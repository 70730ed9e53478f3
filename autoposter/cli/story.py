"""The story of one post, told to a person."""

from __future__ import annotations

from collections.abc import Iterator

from autoposter.cli.evidence import evidence_lines, precisely
from autoposter.cli.printing import escaped, plain, shown
from autoposter.lifecycle import JobStatus, Status
from autoposter.store.reports import JobInfo, PostInfo, Story


def print_story(story: Story) -> None:
    """Print what a post says, how it stands, and each attempt in order."""
    for line in (*_head(story), *_state(story.post)):
        print(line)
    for job in story.jobs:
        print()
        for line in _attempt(job):
            print(line)


def _head(story: Story) -> Iterator[str]:
    post = story.post
    yield f"Post {post.id} on {plain(post.platform)}:{plain(post.account)}" + (
        f", reference {plain(post.reference)}" if post.reference else ""
    )
    if post.caption is None:
        yield "  A planned slot without content: it is never published."
    for line in (post.caption or "").splitlines():
        yield f"  | {''.join(char if char.isprintable() else escaped(char) for char in line)}"
    if story.link:
        yield f"  link {plain(story.link)}"
    for asset in story.media:
        yield f"  {asset.kind} {plain(asset.source)}" + (f" ({plain(asset.alt_text)})" if asset.alt_text else "")


def _state(post: PostInfo) -> Iterator[str]:
    yield f"Scheduled for {shown(post.scheduled_for)}; it is {post.status}." + (
        "" if post.autopost_enabled else " It is switched off (autopost_enabled)."
    )
    if post.retry_at and post.status is Status.SCHEDULED:
        yield f"Tried again at {shown(post.retry_at)}."
    if post.posted_at:
        yield f"Posted at {shown(post.posted_at)}."
    if post.permalink or post.platform_post_id:
        yield f"There it is {plain(post.permalink or post.platform_post_id)}."
    if post.last_error:
        yield f"Last error: {plain(post.last_error)}"
    if post.status is Status.UNCONFIRMED:
        yield f"Look on the platform, then: autoposter posts resolve {post.id} --posted | --not-posted | --retry"


def _attempt(job: JobInfo) -> Iterator[str]:
    yield f"Attempt {job.attempt}: {_OUTCOMES[job.status]}"
    yield f"  {precisely(job.started_at)}  claimed by {plain(job.worker or 'a worker')}"
    if job.intent_at is None:
        yield "  nothing was sent"
    else:
        yield f"  {precisely(job.intent_at)}  promised to make the call"
        yield f"  {precisely(job.ended_at)}  the call ended" if job.ended_at else "  nobody saw the call end"
    if job.looks:
        yield f"  looked for {'once' if job.looks == 1 else f'{job.looks} times'}"
    if job.status is JobStatus.UNKNOWN and job.look_at:
        yield f"  {precisely(job.look_at)}  looked for next"
    if job.platform_post_id:
        where = f", {plain(job.permalink)}" if job.permalink else ""
        yield f"  the platform answered with {plain(job.platform_post_id)}{where}"
    if job.error:
        yield f"  {job.error_kind or 'error'}: {plain(job.error)}"
    for line in evidence_lines(job.evidence or {}):
        yield f"  {line}"
    if job.finished_at:
        yield f"  {precisely(job.finished_at)}  settled"


_OUTCOMES = {
    JobStatus.RUNNING: "under way",
    JobStatus.COMPLETED: "published",
    JobStatus.FAILED: "failed",
    JobStatus.UNKNOWN: "outcome unknown",
    JobStatus.CANCELLED: "withdrawn",
}
