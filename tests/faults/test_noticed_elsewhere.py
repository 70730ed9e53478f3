"""What the core's own tests are for: each fails when the safeguard that it is about is taken away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.elsewhere import NOTICED_BY

TESTS = Path(__file__).parent.parent


@pytest.mark.long
@pytest.mark.parametrize("safeguard", NOTICED_BY)
def test_a_test_of_the_core_fails_without_its_safeguard(safeguard: str, noticed: Callable[[str, str], None]) -> None:
    test = NOTICED_BY[safeguard]
    environment = os.environ | {"FAULTS_WITHOUT": safeguard, "PYTHONPATH": str(TESTS)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "faults.without",
        "-p",
        "no:cacheprovider",
        str(TESTS / test),
    ]

    ran = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=120)

    assert ran.returncode == pytest.ExitCode.TESTS_FAILED, ran.stdout[-2000:] + ran.stderr[-2000:]
    noticed(safeguard.replace("_", " "), test.partition("::")[2].removeprefix("test_").replace("_", " "))
