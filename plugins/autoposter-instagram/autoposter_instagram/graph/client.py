"""Requests to the Graph API, and what of its answers concerns every one of them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, BinaryIO

import httpx2

from autoposter.publishers import json_object, retry_after

from .errors import GraphError
from .usage import pause_for, regained_in

#: How long the bytes of one video may take.
UPLOAD_LASTS = timedelta(minutes=20)

#: So many bytes of a video are held at once.
PIECE_BYTES = 256 * 1024


class Graph:
    """The Graph API with one token.  Every call returns the JSON object of the answer, or raises GraphError.

    The token goes in headers, which no log repeats.  With an app secret each call proves that it is the app's own.
    """

    def __init__(self, http: httpx2.Client, api_url: str, token: str, app_secret: str | None = None) -> None:
        self._http = http
        self._api_url = api_url
        self._token = token
        self._proof = (
            {"appsecret_proof": hmac.new(app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()}
            if app_secret
            else {}
        )
        self.pause: timedelta | None = None
        """How long the usage headers of the last answers ask us to leave the platform alone."""

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Ask for an object or a listing."""
        answer = self._http.get(self._at(path), params=parameters | self._proof, headers=self._bearer)
        return self._read(answer)

    def post(
        self, path: str, parameters: Mapping[str, str], files: Mapping[str, Any] | None = None, query: str = ""
    ) -> dict[str, Any]:
        """Send a form; with `files` in several parts.  Lists and objects are JSON text in one field."""
        url = self._at(path) + query
        timeout = UPLOAD_LASTS.total_seconds() if files else None
        form = dict(parameters) | self._proof
        # A timeout is only named where the default, or what is left inside the fence, would be too short.
        how: dict[str, Any] = {"timeout": timeout} if timeout else {}
        return self._read(self._http.post(url, data=form, files=files, headers=self._bearer, **how))

    def upload(self, url: str, stream: BinaryIO, *, offset: int, size: int) -> None:
        """Send the bytes of a video from `offset` on to the address that the platform named for them."""
        headers = {
            "Authorization": f"OAuth {self._token}",
            "offset": str(offset),
            "file_size": str(size),
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size - offset),
        }
        pieces = _pieces(stream, offset)
        self._read(self._http.post(url, content=pieces, headers=headers, timeout=UPLOAD_LASTS.total_seconds()))

    def _at(self, path: str) -> str:
        return f"{self._api_url}/{path}"

    @property
    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _read(self, answer: httpx2.Response) -> dict[str, Any]:
        self.pause = pause_for(answer.headers) or self.pause
        found = json_object(answer)
        if answer.is_success and found and "error" not in found and "debug_info" not in found:
            return found
        raise as_error(answer, found)


def as_error(answer: httpx2.Response, found: Mapping[str, Any]) -> GraphError:
    """The error in an answer, also where there is none that can be read."""
    error, debug = found.get("error"), found.get("debug_info")
    if isinstance(debug, dict):  # of an upload
        message = f"{debug.get('type', 'Upload error')}: {debug.get('message', '')}"
        return GraphError(message, status=answer.status_code, is_transient=bool(debug.get("retriable")))
    wait = retry_after(answer)
    wait = regained_in(answer.headers) if wait is None else wait
    if not isinstance(error, dict):
        return GraphError("The answer cannot be read", status=answer.status_code, wait=wait)
    return GraphError(
        _text(error.get("error_user_msg")) or _text(error.get("message")) or "No message",
        status=answer.status_code,
        code=_integer(error.get("code")),
        subcode=_integer(error.get("error_subcode")),
        is_transient=error.get("is_transient") is True,
        trace=_text(error.get("fbtrace_id")) or None,
        data=_data(error.get("error_data")),
        wait=wait,
    )


def _data(value: object) -> dict[str, object]:
    """`error_data`, which may be an object or the JSON text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _pieces(stream: BinaryIO, offset: int) -> Iterator[bytes]:
    if stream.seekable():
        stream.seek(offset)
    else:
        while offset > 0 and (skipped := stream.read(min(offset, PIECE_BYTES))):
            offset -= len(skipped)
    while piece := stream.read(PIECE_BYTES):
        yield piece
