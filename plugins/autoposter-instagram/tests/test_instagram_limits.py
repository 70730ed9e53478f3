"""The sentence that a person sees for each limit.  `pytest -s` prints them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import test_instagram_conformance as suite
from autoposter.testing import Lab
from instagram_examples import instagram


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with instagram() as (_fake, made):
        yield made


@pytest.mark.parametrize("limit", suite.TestInstagram.limits)
def test_the_sentence_of_a_limit_names_it(lab: Lab, limit: str) -> None:
    post = lab.own(suite.TestInstagram.limits[limit])
    with lab.at_work() as (publisher, _wire):
        said = [*publisher.pictures.problems(post.media), *publisher.validate(post)]

    print("\n" + "\n".join(said))
    assert any(limit in sentence for sentence in said)
    assert all((sentence.endswith(".") and sentence[0].isupper()) or sentence[0] == "`" for sentence in said)
