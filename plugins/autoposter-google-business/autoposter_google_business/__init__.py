"""Publishes autoposter's posts on Google Business Profiles: updates, events and offers, with a photo and a button."""

from autoposter import hookimpl
from autoposter.publishers import Publisher
from autoposter_google_business.publisher import GoogleBusiness


@hookimpl
def autoposter_publishers() -> list[type[Publisher]]:
    """What this plugin brings."""
    return [GoogleBusiness]
