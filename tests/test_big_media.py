"""A video of 200 MB goes from its source to the platform piece by piece."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from media_files import mp4_beginning
from town import Town, answer, living_in

SIZE = 200_000_000
MEMORY_BYTES = 64 * 1024**2

BEGINNING = mp4_beginning(SIZE)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with living_in(tmp_path) as town:
        town.pages |= {"/film.mp4": show, "/cinema": count}
        yield town


def show(sock: socket.socket, request: bytes) -> None:
    sock.sendall(answer("200 OK", BEGINNING, f"Content-Length: {SIZE}"))
    left, zeros = SIZE - len(BEGINNING), bytes(1_000_000)
    while left:
        piece = zeros[:left]
        sock.sendall(piece)
        left -= len(piece)


def count(sock: socket.socket, request: bytes) -> None:
    """Takes a whole request, and answers with the number of bytes in its body."""
    received = len(request.partition(b"\r\n\r\n")[2])
    buffer = bytearray(1_000_000)
    while received < SIZE:
        received += sock.recv_into(buffer) or SIZE * 2
    text = str(received).encode()
    sock.sendall(answer("200 OK", text, f"Content-Length: {len(text)}"))


@pytest.mark.parametrize("where", ["disk", "https"])
def test_a_video_of_200_mb_is_streamed_within_64_mb(where: str, town: Town, tmp_path: Path) -> None:
    with (tmp_path / "film.mp4").open("wb") as film:
        film.write(BEGINNING)
        film.truncate(SIZE)
    source = "film.mp4" if where == "disk" else f"https://localhost:{town.port}/film.mp4"
    program = Path(__file__).parent / "streaming.py"

    done = subprocess.run(
        [sys.executable, program, source, tmp_path, "localhost", f"http://127.0.0.1:{town.port}/cinema"],
        capture_output=True,
        check=False,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"{told['more_bytes'] / 1e6:.1f} MB beyond idle")
    assert told["received"] == SIZE
    assert told["more_bytes"] < MEMORY_BYTES
