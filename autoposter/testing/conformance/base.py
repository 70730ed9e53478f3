"""What an author says of a publisher, and which tests follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import pytest

from autoposter.publishers import Delivery, Media, Post, Publisher, PublishError
from autoposter.publishers.base import overrides
from autoposter.testing.examples import make_post
from autoposter.testing.fake import FakeServer, Platform
from autoposter.testing.lab import Lab
from autoposter.testing.rules import Rule

#: Characters that get lost on the way in one encoding or another.
CAPTION = 'Open until 8 & "later": 1 < 2, ünïcödé \N{PARTY POPPER}\nSecond line, 100 %'


class Conformance:
    """What an author says of a publisher.  `publisher` and `fake` are required; the rest says what applies."""

    publisher: ClassVar[type[Publisher]]
    """The publisher."""
    fake: ClassVar[Callable[[], Platform]]
    """A fake of its platform: a subclass of `FakeServer`."""
    post: ClassVar[Post] = make_post(CAPTION)
    """An ordinary post that the platform takes."""
    limits: ClassVar[Mapping[str, Post]] = {}
    """Posts that the platform would refuse, each under a word that `validate` must say of it."""
    refusals: ClassVar[Mapping[type[PublishError], Sequence[Rule]]] = {}
    """The answers that prove that nothing was published (`refuse(401)`), by what they must be raised as."""
    media: ClassVar[Sequence[Media]] = ()
    """Examples of the media that it takes, one of each kind.  None: `validate` must refuse posts with media."""
    drops: ClassVar[Sequence[str]] = ()
    """`link`, `media`: what it leaves out of a post without a word.  Only a publisher for tests does."""
    installed: ClassVar[bool] = True
    """Whether a plugin that is installed brings it.  False only for one that no entry point names."""
    patience: ClassVar[timedelta] = timedelta(seconds=1)
    """How long a test waits for an answer that never comes."""

    left_out: ClassVar[Mapping[str, str]] = {}
    """The tests that do not apply, and why."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if not hasattr(cls, "publisher") or not hasattr(cls, "fake"):
            if cls.__name__.startswith("Test"):
                raise TypeError(f"{cls.__name__} must say `publisher = ...` and `fake = ...`")
            return
        cls.left_out = dict(_left_out(cls))
        for name in cls.left_out:
            setattr(cls, name, None)  # pytest collects what can be called

    @pytest.fixture
    def lab(self) -> Iterator[Lab]:
        """The publisher and a new fake of its platform."""
        with type(self).fake() as platform:
            yield Lab(self.publisher, platform, self.post)
            if isinstance(platform, FakeServer):
                assert not platform.troubles, f"The fake itself is broken: {platform.troubles[0]}"

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each limit, each refusal and each kind of media."""
        if "limit" in metafunc.fixturenames:
            metafunc.parametrize("limit", list(self.limits))
        if "media_example" in metafunc.fixturenames:
            metafunc.parametrize("media_example", self.media, ids=[media.kind for media in self.media])
        if "refusal" in metafunc.fixturenames:
            known = [(kind, rule) for kind, rules in self.refusals.items() for rule in rules]
            metafunc.parametrize("refusal", known, ids=[f"{kind.__name__}-{rule.status}" for kind, rule in known])


Test = TypeVar("Test", bound=Callable[..., object])


def needs(*capabilities: str) -> Callable[[Test], Test]:
    """The test is left out of the suite of a publisher without these."""
    for capability in capabilities:
        assert capability in LACKS, capability

    def mark(test: Test) -> Test:
        setattr(test, "needs", capabilities)  # noqa: B010
        return test

    return mark


def _left_out(suite: type[Conformance]) -> Iterator[tuple[str, str]]:
    for name in dir(suite):
        for capability in getattr(getattr(suite, name), "needs", ()):
            if why := LACKS[capability](suite):
                yield name, why
                break


def can_find(publisher: type[Publisher]) -> bool:
    """Whether the core would ever call its `find`."""
    return getattr(publisher, "delivery", None) is not Delivery.BLIND and overrides(publisher, "find")


def _lacks_method(name: str) -> Callable[[type[Conformance]], str]:
    return lambda suite: "" if overrides(suite.publisher, name) else f"it has no {name}()"


def _lacks_refusals(suite: type[Conformance]) -> str:
    return _lacks_wire(suite) or ("" if any(suite.refusals.values()) else "no `refusals` are listed")


def _lacks_wire(suite: type[Conformance]) -> str:
    return "" if isinstance(suite.fake, type) and issubclass(suite.fake, FakeServer) else "its fake is no FakeServer"


def _lacks_dropping(what: str) -> Callable[[type[Conformance]], str]:
    return lambda suite: f"it says that it drops {what}" if what in suite.drops else ""


#: By the name of a capability, why a publisher lacks it; empty: it has it.
LACKS: Mapping[str, Callable[[type[Conformance]], str]] = {
    "check": _lacks_method("check"),
    "choices": _lacks_method("choices"),
    "credentials": lambda suite: "" if suite.publisher.Credentials.model_fields else "it has no credentials",
    "find": lambda suite: "" if can_find(suite.publisher) else "it has no find(), or is BLIND",
    "installed": lambda suite: "" if suite.installed else "it says that no installed plugin brings it",
    "keys": lambda suite: "" if suite.publisher.delivery is Delivery.KEYED else "it is not KEYED",
    "link": _lacks_dropping("link"),
    "media": lambda suite: "" if suite.media else "it takes no `media`",
    "no dropped media": _lacks_dropping("media"),
    "no media": lambda suite: "it takes `media`" if suite.media else "",
    "prepare": _lacks_method("prepare"),
    "refresh": _lacks_method("refresh"),
    "refusals": _lacks_refusals,
    "validate": _lacks_method("validate"),
    "wire": _lacks_wire,
}
