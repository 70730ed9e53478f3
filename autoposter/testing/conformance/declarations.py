"""What a publisher class says of itself."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import get_args

import pytest
from pydantic import SecretBytes, SecretStr

from autoposter.plugins import Host
from autoposter.publishers import Delivery, Publisher
from autoposter.publishers.base import overrides
from autoposter.publishers.declaration import faults
from autoposter.testing.conformance.base import Conformance, needs
from autoposter.testing.lab import Lab


class DeclarationTests(Conformance):
    """What a publisher class says of itself."""

    def test_its_declaration_has_no_faults(self) -> None:
        """As the host checks it when the plugin is loaded."""
        found = list(faults(self.publisher))
        assert found == [], f"The host refuses this publisher: {found}"

    def test_no_declaration_is_misspelt(self) -> None:
        """What is declared under a name that is nearly one of the contract's would be noticed by nobody."""
        known = [name for name in dir(Publisher) if not name.startswith("_")]
        declared = [name for name, value in vars(self.publisher).items() if not inspect.isfunction(value)]
        for name in declared:
            near = [] if name in known or name.startswith("_") else get_close_matches(name, known, n=1, cutoff=0.85)
            assert not near, f"{self.publisher.__name__}.{name} means nothing to autoposter (did you mean {near[0]}?)."

    @needs("installed")
    def test_an_installed_plugin_brings_it(self) -> None:
        """Otherwise autoposter never sees it.  Install the plugin: `pip install -e .`"""
        name = self.publisher.platform
        installed = Host().publisher_for(name)
        assert installed is self.publisher, f"Installed for {name!r} is {installed}: install it with pip install -e ."

    def test_a_blind_one_has_no_find(self) -> None:
        """It would never be called."""
        if self.publisher.delivery is Delivery.BLIND and overrides(self.publisher, "find"):
            pytest.fail("find() of a BLIND publisher is never called: say FINDABLE, or leave it out.")

    def test_credentials_are_secret(self) -> None:
        """A plain `str` would be shown in logs, errors and `repr`."""
        for name, field in self.publisher.Credentials.model_fields.items():
            kinds = {field.annotation, *get_args(field.annotation)} - {type(None)}
            assert kinds & {SecretStr, SecretBytes}, f"Credentials.{name} must be a SecretStr."

    @pytest.mark.parametrize("model", ["Credentials", "Settings", "Options"])
    def test_a_misspelt_name_is_refused(self, model: str) -> None:
        """`model_config = ConfigDict(extra="forbid")`: what is mistyped must not be ignored."""
        config = getattr(self.publisher, model).model_config
        assert config.get("extra") == "forbid", f"{model} ignores names that it does not know."

    def test_secrets_are_no_settings(self) -> None:
        """Settings are stored and shown as they are."""
        for name, field in self.publisher.Settings.model_fields.items():
            kinds = {field.annotation, *get_args(field.annotation)}
            assert not kinds & {SecretStr, SecretBytes}, f"Settings.{name} is a secret: it belongs into Credentials."

    def test_it_is_made_from_an_account_and_a_client(self, lab: Lab) -> None:
        """And sends nothing by that: one is made for every attempt."""
        with lab.at_work() as (publisher, wire):
            assert isinstance(publisher, Publisher)
            assert wire.evidence["calls"] == [], "Making it has sent a request."
