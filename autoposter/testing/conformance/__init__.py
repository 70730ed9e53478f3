"""The conformance suite: what every publisher must do and must not do, as tests.

An author subclasses `PublisherConformance` and says what there is to know of the publisher; pytest does the rest.

    class TestNoticeboard(PublisherConformance):
        publisher = Noticeboard
        fake = FakeNoticeboard
        limits = {"characters": make_post("x" * 501)}
        refusals = {
            AccountRejected: [refuse(401)],
            ContentRejected: [refuse(422, '{"error": "banned word"}')],
            RateLimited: [refuse(429, retry_after="7")],
        }

What does not apply to a publisher is left out by what it declares (a KEYED one has no `find`), never skipped in
silence: the end of the test run says what was left out and why, and `left_out` holds it.
"""

from autoposter.testing.conformance.accounts import AccountTests
from autoposter.testing.conformance.answers import AnswerTests
from autoposter.testing.conformance.base import Conformance
from autoposter.testing.conformance.calls import CallTests
from autoposter.testing.conformance.declarations import DeclarationTests
from autoposter.testing.conformance.doubts import DoubtTests
from autoposter.testing.conformance.media import MediaTests
from autoposter.testing.conformance.preparations import PreparationTests
from autoposter.testing.conformance.secrecy import SecrecyTests
from autoposter.testing.conformance.validation import ValidationTests

__all__ = ["PublisherConformance"]


class PublisherConformance(  # pytest runs the last one's tests first: a wrong declaration fails many others
    SecrecyTests,
    AccountTests,
    DoubtTests,
    AnswerTests,
    MediaTests,
    CallTests,
    PreparationTests,
    ValidationTests,
    DeclarationTests,
    Conformance,
):
    """Subclass it, give `publisher` and `fake`, and say what applies."""
