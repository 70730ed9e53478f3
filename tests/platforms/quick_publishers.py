"""Our plugins' publishers with a shorter patience, so that tests end soon.  Installed like any plugin."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from autoposter import hookimpl
from autoposter.publishers import Publisher
from autoposter_facebook import uploads
from autoposter_facebook.publisher import Facebook
from autoposter_google_business.publisher import GoogleBusiness
from autoposter_instagram import finding, preparation
from autoposter_instagram.publisher import Instagram


class QuickGoogleBusiness(GoogleBusiness):
    """Waits two seconds for an answer, and three until a post that is not listed is not there."""

    platform = "quick_google_business"
    publish_timeout = timedelta(seconds=2)
    find_after = timedelta(seconds=3)


class QuickInstagram(Instagram):
    """The same, and containers are asked for every second."""

    platform = "quick_instagram"
    publish_timeout = timedelta(seconds=2)
    find_after = timedelta(seconds=3)


preparation.SHORTEST_WAIT = preparation.SOON = timedelta(seconds=1)
finding.LISTED_WITHIN = timedelta(seconds=5)
uploads.ASK_AGAIN = timedelta(seconds=1)


class QuickFacebook(Facebook):
    """Likewise."""

    platform = "quick_facebook"
    publish_timeout = timedelta(seconds=2)
    find_after = timedelta(seconds=3)


@hookimpl
def autoposter_publishers() -> Iterable[type[Publisher]]:
    """All of them."""
    return [QuickFacebook, QuickGoogleBusiness, QuickInstagram]


def install(folder: Path) -> None:
    """Lay a distribution that registers them into `folder`."""
    metadata = folder / "autoposter_quick-0.1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: autoposter-quick\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[autoposter]\nquick = {__name__}\n")
