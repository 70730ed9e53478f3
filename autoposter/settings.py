"""Every setting, read from the environment (`AUTOPOSTER_...`) once and handed on as values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import psycopg2
import psycopg2.extensions
from cryptography.fernet import Fernet
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from autoposter import redaction
from autoposter.errors import WrongUsage

PREFIX = "AUTOPOSTER_"

#: Shorter passwords are left out of logs only where they stand in their address.
SHORTEST_PASSWORD = 8

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: object) -> object:
    """`90` (seconds), `30s`, `15m`, `24h`, `2d` as a timedelta.  Raises ValueError for anything else."""
    if isinstance(text, timedelta):
        return text
    match = re.fullmatch(r"(\d{1,12}(?:\.\d+)?)\s*([smhd]?)", str(text).strip())
    if not match:
        raise ValueError("takes a number of seconds (90) or a number with a unit (30s, 15m, 24h, 2d)")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2] or "s"])
    except OverflowError:
        raise ValueError("is longer than any time that can be told") from None


def _duration_or_off(text: object) -> object:
    if text is None or str(text).strip().lower() == "off":
        return None
    return parse_duration(text)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Settings(BaseSettings):
    """What the environment says.  Frozen: nothing changes while a process runs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    database_url: SecretStr | None = None
    """PostgreSQL, any URL that libpq takes.  Secret, because it may hold a password."""
    redis_url: SecretStr | None = None
    """The broker."""
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Fernet keys, newest first, separated by commas."""
    media_root: Path | None = None
    """The folder below which the files of media lie."""
    media_base_url: str | None = None
    """Where platforms that fetch by themselves find that folder."""
    media_allow: Annotated[tuple[str, ...], NoDecode] = ()
    """A house's own media hosts, by their names alone."""
    max_lateness: Annotated[timedelta | None, BeforeValidator(_duration_or_off)] = timedelta(hours=24)
    """Posts later than this are `Missed`; None (`off`): published however late."""
    max_attempts: int = Field(default=8, ge=1, le=1000)
    retry_base: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=30)
    retry_cap: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(minutes=15)
    plugins: Annotated[tuple[str, ...] | None, NoDecode] = None
    """Only these distributions are imported; None: all that are installed."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @field_validator("secret_keys", "media_allow", "plugins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _libpq_takes_it(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            try:
                psycopg2.extensions.parse_dsn(url.get_secret_value())
            except psycopg2.ProgrammingError:
                raise ValueError("takes a PostgreSQL URL (postgresql://user:password@host:5432/name)") from None
        return url

    @field_validator("redis_url")
    @classmethod
    def _redis_takes_it(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            try:
                parts = urlsplit(url.get_secret_value())
                well_formed = parts.scheme in {"redis", "rediss", "unix"} and (parts.port is None or parts.port > 0)
            except ValueError:
                well_formed = False
            if not well_formed:
                raise ValueError("takes a Redis URL (redis://host:6379/0)")
        return url

    @field_validator("media_base_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is not None:
            try:
                parts = urlsplit(url)
                well_formed = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query
            except ValueError:
                well_formed = False
            if not well_formed or any(char.isspace() for char in url):
                raise ValueError("takes an address without a query (https://media.example.org/files)")
        return url

    @field_validator("media_allow")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if re.search(r"[/@\s*]", host) or (":" in host and host.count(":") < 2):
                raise ValueError("takes names of hosts without scheme and port, separated by commas (media.house.lan)")
        return tuple(host.rstrip(".").lower().strip("[]") for host in hosts)

    @field_validator("secret_keys")
    @classmethod
    def _fernet_takes_them(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in keys:
            try:
                Fernet(key.get_secret_value())
            except ValueError:
                raise ValueError("takes Fernet keys, separated by commas; `autoposter keys new` makes one") from None
        return keys


def load_settings(**overrides: Any) -> Settings:
    """Read the environment.  Raises WrongUsage with one sentence that names the setting and what it takes."""
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + str(first["loc"][0]).upper()
        message = first["msg"].removeprefix("Value error, ")
        # `from None`: the validation error holds the value, which may be a secret.
        raise WrongUsage(f"{name}: {message[0].lower() + message[1:]}.") from None
    redaction.known.keep(_secrets_of(settings))
    return settings


def _secrets_of(settings: Settings) -> Iterator[str]:
    """What no log may show: the keys, the servers' addresses, and their passwords."""
    yield from (key.get_secret_value() for key in settings.secret_keys)
    if settings.database_url:
        url = settings.database_url.get_secret_value()
        parts = psycopg2.extensions.parse_dsn(url)
        yield from _worth_masking(url, parts.get("user"), parts.get("password"))
    if settings.redis_url:
        url = settings.redis_url.get_secret_value()
        yield from _worth_masking(url, urlsplit(url).username, urlsplit(url).password)


def _worth_masking(url: str, user: str | None, password: str | None) -> Iterator[str]:
    """A password that is an ordinary word or its user's name would only make the log illegible."""
    if password:
        yield url
        if len(password) >= SHORTEST_PASSWORD and password != user:
            yield password
