"""Requests to the Graph API, and what of its answers concerns every one of them."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import chain
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

    def post(self, path: str, parameters: Mapping[str, str], *, answer_with: str | None = None) -> dict[str, Any]:
        """Send a form.  Lists and objects are JSON text in one field.  `answer_with`: fields to answer with."""
        form = {**parameters, **self._proof}
        fields = {"fields": answer_with} if answer_with else None
        return self._read(self._http.post(self._at(path), params=fields, data=form, headers=self._bearer))

    def send_file(
        self,
        path: str,
        parameters: Mapping[str, str],
        field: str,
        content: Iterable[bytes],
        size: int | None,
        mime_type: str | None,
    ) -> dict[str, Any]:
        """Send a form with a file in it, piece by piece."""
        boundary = secrets.token_hex(16)
        head, tail = _form_around_a_file(boundary, {**parameters, **self._proof}, field, mime_type)
        headers = {**self._bearer, "Content-Type": f"multipart/form-data; boundary={boundary}"}
        if size is not None:
            headers["Content-Length"] = str(len(head) + size + len(tail))
        body = chain([head], content, [tail])
        timeout = UPLOAD_LASTS.total_seconds()
        return self._read(self._http.post(self._at(path), content=body, headers=headers, timeout=timeout))

    def upload(self, url: str, stream: BinaryIO, *, offset: int, size: int) -> None:
        """Send the bytes of a video from `offset` on to the address that the platform named for them."""
        headers = {
            "Authorization": f"OAuth {self._token}",
            "offset": str(offset),
            "file_size": str(size),
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size - offset),
        }
        skip(stream, offset)
        timeout = UPLOAD_LASTS.total_seconds()
        self._read(self._http.post(url, content=pieces(stream), headers=headers, timeout=timeout))

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


def skip(stream: BinaryIO, offset: int) -> None:
    """Go to a place in a stream, which may not be able to jump."""
    if stream.seekable():
        stream.seek(offset)
        return
    for _ in pieces(stream, offset):
        pass


def pieces(stream: BinaryIO, size: int | None = None) -> Iterator[bytes]:
    """What a stream holds, or the next so many bytes of it."""
    while size is None or size > 0:
        piece = stream.read(PIECE_BYTES if size is None else min(size, PIECE_BYTES))
        if not piece:
            return
        size = None if size is None else size - len(piece)
        yield piece


def _form_around_a_file(
    boundary: str, parameters: Mapping[str, str], field: str, mime_type: str | None
) -> tuple[bytes, bytes]:
    """What stands before and after the file in a multipart form.  Names and values are ours and the platform's ids."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in parameters.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="file"\r\n'
        f"Content-Type: {mime_type or 'application/octet-stream'}\r\n\r\n"
    )
    return "".join(parts).encode(), f"\r\n--{boundary}--\r\n".encode()
