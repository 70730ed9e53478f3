"""The conformance suite fails for every wrong publisher, each for its own reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import wrong_pinboards
from wrong_publishers import REASONS

from autoposter.testing import PublisherConformance

assert wrong_pinboards  # imported for what it adds to REASONS

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the suite said, by the suite of each wrong publisher; all in one run."""
    report = tmp_path_factory.mktemp("wrong") / "report.xml"
    wanted = [f"{HERE / module}.py::{name}::{test}" for name, (module, test, _) in REASONS.items()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", "--noconftest"]
    ran = subprocess.run([*command, *wanted], cwd=HERE.parent, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return {
        case.attrib["classname"].rpartition(".")[2]: "".join(said.attrib["message"] for said in case.findall("failure"))
        for case in ElementTree.parse(report).iter("testcase")
    }


@pytest.mark.parametrize("name", REASONS)
def test_a_wrong_publisher_is_told_by_what_is_wrong_with_it(name: str, failures: dict[str, str]) -> None:
    _, test, words = REASONS[name]

    assert words in failures[name], f"{name}: {test} says {failures[name]!r}"


def test_there_are_enough_of_them_and_no_two_fail_for_the_same_reason() -> None:
    reasons = [(test, words) for _, test, words in REASONS.values()]

    assert len(reasons) >= 20
    assert len(set(reasons)) == len(reasons)


def test_every_test_of_the_suite_is_seen_to_fail_but_two_that_judge_the_authors_examples() -> None:
    every = {name for name in dir(PublisherConformance) if name.startswith("test_")}

    assert every - {test.partition("[")[0] for _, test, _ in REASONS.values()} == {
        "test_an_ordinary_post_is_valid",
        "test_media_that_it_takes_are_valid",
    }
