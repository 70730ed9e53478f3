"""`validate`: pure, and it names every reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from autoposter.publishers import Media, Post
from autoposter.publishers.http import Wire
from autoposter.testing.conformance.base import Conformance, needs
from autoposter.testing.conformance.purity import asked_of_the_world
from autoposter.testing.examples import make_account, make_media
from autoposter.testing.lab import Lab


def problems(lab: Lab, post: Post) -> list[str]:
    """What `pictures` and `validate` say of a post, each a sentence."""
    with lab.at_work() as (publisher, _wire):
        said = publisher.validate(post)
        assert not isinstance(said, str), "validate() returned one text; it must yield sentences, or return a list."
        assert said is not None, "validate() returned None; it must yield sentences, or return a list."
        found = [*(publisher.pictures.problems(post.media) if publisher.pictures else ()), *said]
    for problem in found:
        assert isinstance(problem, str) and " " in problem.strip(), f"{problem!r} is no sentence for a person."
    return found


class ValidationTests(Conformance):
    """`validate`: pure, and it names every reason."""

    def test_an_ordinary_post_is_valid(self, lab: Lab) -> None:
        """The post of the suite (`post = ...`) must be one that the platform takes."""
        found = problems(lab, lab.post())
        assert found == [], f"The ordinary post would be refused: {found}"

    def test_media_that_it_takes_are_valid(self, lab: Lab) -> None:
        """Likewise the `media`, each by itself."""
        for media in self.media:
            found = problems(lab, lab.post(media=(media,)))
            assert found == [], f"A post with this {media.kind} of `media` would be refused: {found}"

    @needs("validate")
    def test_the_limits_of_the_platform_are_listed(self) -> None:
        """It has a `validate` of its own, so the suite must be told what that refuses: `limits = {...}`."""
        assert self.limits, "List a post for every limit of the platform in `limits`."

    @needs("validate")
    def test_a_limit_is_named(self, lab: Lab, limit: str) -> None:
        """Every reason, in a sentence that says what is wrong."""
        said = problems(lab, lab.own(self.limits[limit]))
        assert any(limit in problem for problem in said), f"No reason says {limit!r}: {said}"

    @needs("no media", "no dropped media")
    @pytest.mark.parametrize("kind", ["image", "video"])
    def test_media_that_it_does_not_take_are_refused(self, lab: Lab, kind: str) -> None:
        """A post must not go out without its picture.  It takes media: list examples in `media`."""
        post = lab.post(media=(make_media("image" if kind == "image" else "video"),))
        assert problems(lab, post), f"validate() lets a post with {kind} pass, and `media` names none that it takes."

    def test_validating_needs_no_credentials(self, lab: Lab) -> None:
        """Who schedules has no key to them: `Credentials.model_construct()` is all that it gets, from its making on."""
        account = make_account(self.publisher, lab.platform.settings, lab.platform.credentials)
        without = replace(account, credentials=self.publisher.Credentials.model_construct())
        with Wire() as wire:
            found = list(self.publisher(without, wire.client).validate(lab.post()))
            assert found == [], f"Without credentials, validate() refuses the ordinary post: {found}"

    def test_nothing_that_is_odd_makes_it_raise(self, lab: Lab) -> None:
        """An odd post has problems; it is none: what is raised here ends the post as a bug of the plugin."""
        for odd in _odd_posts(lab):
            problems(lab, odd)

    def test_validating_asks_nothing_of_the_world(self, lab: Lab) -> None:
        """It is called while scheduling, for many posts at once, and again before the call."""
        posts = [lab.post(), *(lab.post(media=(_sealed(media),)) for media in self.media)]
        with lab.at_work() as (publisher, wire):
            for post in posts:
                with asked_of_the_world() as asked:
                    list(publisher.validate(post))
                assert asked == [], f"validate() asks {asked[0]}."
            assert wire.evidence["calls"] == [], "validate() sends requests."

    def test_validating_does_not_depend_on_when(self, lab: Lab) -> None:
        """Neither on the due time nor on how often."""
        for post in (lab.post(), *(lab.own(refused) for refused in self.limits.values())):
            said = problems(lab, post)
            for year in (2000, 9998):
                again = problems(lab, replace(post, scheduled_for=datetime(year, 6, 1, tzinfo=UTC)))
                assert again == said, f"Scheduled for {year}, the reasons are others: {again}, not {said}"


LONG = ("x" * 100_000, "\N{WOMAN}\u200d\N{PERSONAL COMPUTER}" * 1000)


def _odd_posts(lab: Lab) -> Iterator[Post]:
    for caption in ("", " ", *LONG, "\u202e\u0301\ufeff", "{}%s\\"):
        yield lab.post(caption=caption)
    for link in ("", "not a link", "https://", "https://[", "https://shop.example/" + "x" * 10_000):
        yield lab.post(link=link)
    for kind in (make_media("image"), make_media("video")):
        nothing_known = replace(kind, mime_type=None, size=None, width=None, height=None, duration=None, alt_text="")
        yield lab.post(media=(nothing_known,))
        yield lab.post(media=(replace(kind, size=0, width=0, height=0),))
        yield lab.post(media=(kind,) * 100)


def _sealed(media: Media) -> Media:
    def refuse() -> Any:
        raise AssertionError("validate() opens the media.")

    return replace(media, open=refuse)
