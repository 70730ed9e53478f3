"""Media are read from files and addresses, known by their content, and streamed whole."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from media_files import mp4, picture, webm
from PIL import Image
from town import PUBLIC, PUBLIC_6, Town, answer, in_parts, living_in, ok, redirect

from autoposter.media import MediaShelf, film
from autoposter.publishers import ContentRejected, Media, Transient

BASE = "https://files.town.example/shop"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with living_in(tmp_path_factory.mktemp("town")) as town:
        town.names |= {
            "cdn.town.example": [[PUBLIC]],
            "six.town.example": [[PUBLIC_6]],
            "both.town.example": [[PUBLIC_6, PUBLIC]],
            "xn--bcher-kva.example": [[PUBLIC]],
        }
        yield town


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def shelf(root: Path) -> MediaShelf:
    return MediaShelf(root, BASE)


def asset(source: str, kind: str | None = "image", **columns: Any) -> dict[str, Any]:
    return {"kind": kind, "source": source, "alt_text": None, "mime_type": None} | columns


def examined(shelf: MediaShelf, source: str, kind: str = "image") -> Media:
    shelf.examine([asset(source, kind)])
    return shelf.media(asset(source, kind))


def content(made: Media) -> bytes:
    with made.open() as stream:
        return b"".join(iter(lambda: stream.read(65536), b""))


# --- a hundred that are good -----------------------------------------------------------------------------------------


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


#: The mime type, the sides as a person sees them, and how it is made.
PICTURES: dict[str, tuple[str, tuple[int, int], Callable[[], bytes]]] = {
    "plain.jpg": ("image/jpeg", (64, 48), picture),
    "grey.jpg": ("image/jpeg", (64, 48), lambda: picture(mode="L")),
    "cmyk.jpg": ("image/jpeg", (64, 48), lambda: picture(mode="CMYK")),
    "progressive.jpg": ("image/jpeg", (64, 48), lambda: picture(progressive=True)),
    "profile.jpg": ("image/jpeg", (64, 48), lambda: picture(icc_profile=bytes(200_000))),
    "comment.jpg": ("image/jpeg", (64, 48), lambda: picture(comment=b"x" * 60_000)),
    "trailing.jpg": ("image/jpeg", (64, 48), lambda: picture() + bytes(5000)),
    "wide.jpg": ("image/jpeg", (12000, 3), lambda: picture(size=(12000, 3))),
    "big.jpg": ("image/jpeg", (6000, 4000), lambda: picture(size=(6000, 4000), mode="L")),
    "UPPER.JPG": ("image/jpeg", (64, 48), picture),
    "no-ending": ("image/jpeg", (64, 48), picture),
    "wrong-ending.png": ("image/jpeg", (64, 48), picture),
    **{
        f"turned-{number}.jpg": (
            "image/jpeg",
            (48, 64) if number >= 5 else (64, 48),
            lambda number=number: picture(exif=turned(number)),
        )
        for number in range(1, 9)
    },
    "plain.png": ("image/png", (64, 48), lambda: picture("PNG")),
    "clear.png": ("image/png", (64, 48), lambda: picture("PNG", mode="RGBA")),
    "palette.png": ("image/png", (64, 48), lambda: picture("PNG", mode="P")),
    "sixteen.png": ("image/png", (64, 48), lambda: picture("PNG", mode="I;16")),
    "bits.png": ("image/png", (64, 48), lambda: picture("PNG", mode="1")),
    "dot.png": ("image/png", (1, 1), lambda: picture("PNG", size=(1, 1))),
    "big.png": ("image/png", (8000, 8000), lambda: picture("PNG", size=(8000, 8000), mode="1")),
    "plain.gif": ("image/gif", (64, 48), lambda: picture("GIF", mode="P")),
    "moving.gif": (
        "image/gif",
        (64, 48),
        lambda: picture("GIF", mode="P", save_all=True, append_images=[Image.new("P", (64, 48), 9)]),
    ),
    "plain.webp": ("image/webp", (64, 48), lambda: picture("WEBP")),
    "lossless.webp": ("image/webp", (64, 48), lambda: picture("WEBP", lossless=True)),
    "clear.webp": ("image/webp", (64, 48), lambda: picture("WEBP", mode="RGBA")),
    "moving.webp": (
        "image/webp",
        (64, 48),
        lambda: picture("WEBP", save_all=True, append_images=[Image.new("RGB", (64, 48), "red")]),
    ),
    "plain.bmp": ("image/bmp", (64, 48), lambda: picture("BMP")),
    "plain.tif": ("image/tiff", (64, 48), lambda: picture("TIFF")),
    "packed.tif": ("image/tiff", (64, 48), lambda: picture("TIFF", compression="tiff_lzw")),
    "plain.avif": ("image/avif", (64, 48), lambda: picture("AVIF")),
}

VIDEOS: dict[str, tuple[str, tuple[int, int], float, Callable[[], bytes]]] = {
    "plain.mp4": ("video/mp4", (640, 360), 5, mp4),
    "streaming.mp4": ("video/mp4", (640, 360), 5, lambda: mp4(header_first=True)),
    "upright.mp4": ("video/mp4", (1080, 1920), 61.5, lambda: mp4(width=1080, height=1920, seconds=61.5)),
    "long.mp4": ("video/mp4", (640, 360), 7200, lambda: mp4(seconds=7200)),
    "big.mp4": ("video/mp4", (640, 360), 5, lambda: mp4(6_000_000)),
    "phone.mov": ("video/quicktime", (640, 360), 5, lambda: mp4(brand=b"qt  ")),
    "wrong-ending.avi": ("video/mp4", (640, 360), 5, mp4),
    "plain.webm": ("video/webm", (640, 360), 5, webm),
    "small.webm": ("video/webm", (32, 32), 0.5, lambda: webm(32, 32, 0.5)),
}

PLACES = [
    "a.jpg",
    "sub/a.jpg",
    "a/b/c/d/e/f/g/a.jpg",
    "./a.jpg",
    "sub/./a.jpg",
    "sub//a.jpg",
    "two words.jpg",
    "döner.jpg",
    "\N{PARTY POPPER}.jpg",
    "q?.jpg",
    "per%20cent.jpg",
    "#1.jpg",
    "..a.jpg",
    "...",
    "a..jpg",
    "-rf.jpg",
    "it's.jpg",
    'quo"te.jpg',
    "a\\b.jpg",
    "semi;colon.jpg",
    "CON.jpg",
    ".hidden.jpg",
    f"{'x' * 240}.jpg",
    "12:30.jpg",
    "c:a.jpg",
    "{root}/sub/a.jpg",
]

ADDRESSES = [
    "https://cdn.town.example/a.jpg",
    "HTTPS://CDN.TOWN.EXAMPLE/a.jpg",
    "https://cdn.town.example:443/a.jpg",
    "https://cdn.town.example/a.jpg?X-Signature=0123&Expires=99",
    "https://cdn.town.example/a.jpg#top",
    "https://cdn.town.example/two%20words.jpg",
    "https://cdn.town.example/two words.jpg",
    "https://cdn.town.example/d%C3%B6ner.jpg",
    "https://cdn.town.example/döner.jpg",
    "https://cdn.town.example/x/../a.jpg",
    "https://cdn.town.example/a%2Fb.jpg",
    "https://cdn.town.example//double.jpg",
    "https://cdn.town.example/@user/a.jpg",
    "https://cdn.town.example/?id=7",
    "https://six.town.example/a.jpg",
    "https://both.town.example/a.jpg",
    "https://bücher.example/a.jpg",
    "https://xn--bcher-kva.example/a.jpg",
    "https://cdn.town.example/chunked.jpg",
    "https://cdn.town.example/chunked-big.jpg",
    "https://cdn.town.example/wrong-type.jpg",
    "https://cdn.town.example/identity.jpg",
    "https://cdn.town.example/without-end",
    "https://cdn.town.example/moved.jpg",
    "https://cdn.town.example/moved-relative.jpg",
    "https://cdn.town.example/moved-query.jpg",
    "https://cdn.town.example/moved-host.jpg",
    "https://cdn.town.example/five-1",
    "https://cdn.town.example/closing.jpg",
    "https://cdn.town.example/trailers.jpg",
    "https://cdn.town.example/early-hints.jpg",
    "https://cdn.town.example/in-parts.jpg",
]

A_JPEG = picture()
A_BIG_JPEG = A_JPEG + bytes(3_000_000)


def chunked(data: bytes, size: int = 100) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


GOOD = {
    "/a.jpg": ok(A_JPEG),
    "/two%20words.jpg": ok(A_JPEG),
    "/d%C3%B6ner.jpg": ok(A_JPEG),
    "/x/../a.jpg": ok(A_JPEG),
    "/a%2Fb.jpg": ok(A_JPEG),
    "//double.jpg": ok(A_JPEG),
    "/@user/a.jpg": ok(A_JPEG),
    "/": ok(A_JPEG),
    "/chunked.jpg": answer("200 OK", chunked(A_JPEG) + b"0\r\n\r\n", "Transfer-Encoding: chunked"),
    "/chunked-big.jpg": answer("200 OK", chunked(A_BIG_JPEG, 9999) + b"0\r\n\r\n", "Transfer-Encoding: chunked"),
    "/wrong-type.jpg": ok(A_JPEG, "Content-Type: text/html"),
    "/identity.jpg": ok(A_JPEG, "Content-Encoding: identity"),
    "/without-end": ok(A_BIG_JPEG),
    "/moved.jpg": redirect("https://cdn.town.example/a.jpg", "301 Moved Permanently"),
    "/moved-relative.jpg": redirect("a.jpg", "303 See Other"),
    "/moved-query.jpg": redirect("/?id=7", "307 Temporary Redirect"),
    "/moved-host.jpg": redirect("//xn--bcher-kva.example/a.jpg", "308 Permanent Redirect"),
    **{f"/five-{number}": redirect(f"/five-{number + 1}") for number in range(1, 6)},
    "/five-6": ok(A_JPEG),
    "/closing.jpg": ok(A_JPEG, "Connection: close"),
    "/trailers.jpg": answer("200 OK", chunked(A_JPEG) + b"0\r\nX-Sum: 1\r\n\r\n", "Transfer-Encoding: chunked"),
    "/early-hints.jpg": answer("103 Early Hints", b"", "Link: </x>") + ok(A_JPEG),
    "/in-parts.jpg": in_parts(A_JPEG),
}


def test_there_are_more_than_100_good_ones() -> None:
    assert 2 * len(PICTURES) + 2 * len(VIDEOS) + len(PLACES) + len(ADDRESSES) > 100


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_known_by_its_content_in_a_file_and_at_an_address(
    name: str, shelf: MediaShelf, root: Path, town: Town
) -> None:
    mime_type, sides, make = PICTURES[name]
    data = make()
    (root / name).write_bytes(data)
    town.pages["/picture"] = ok(data)

    for made in (examined(shelf, name), examined(shelf, "https://cdn.town.example/picture")):
        assert (made.mime_type, made.size) == (mime_type, len(data))
        assert (made.width, made.height) == sides
        assert made.duration is None
        assert content(made) == data


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_is_known_by_its_content_in_a_file_and_at_an_address(
    name: str, shelf: MediaShelf, root: Path, town: Town
) -> None:
    mime_type, sides, seconds, make = VIDEOS[name]
    data = make()
    (root / name).write_bytes(data)
    town.pages["/film"] = in_parts(data)

    for made in (examined(shelf, name, "video"), examined(shelf, "https://cdn.town.example/film", "video")):
        assert (made.mime_type, made.size) == (mime_type, len(data))
        assert (made.width, made.height) == sides
        assert made.duration == timedelta(seconds=seconds)
        assert content(made) == data


@pytest.mark.parametrize(("kind", "make"), [("image", picture), ("video", mp4), ("video", webm)])
def test_what_leaves_its_kind_open_is_known_by_its_content(
    kind: str, make: Callable[[], bytes], shelf: MediaShelf, root: Path, town: Town
) -> None:
    (root / "8f3a").write_bytes(make())
    town.pages["/i/8f3a"] = in_parts(make())
    open_still = [asset(source, None) for source in ("8f3a", "https://cdn.town.example/i/8f3a")]
    assert [shelf.kind(each) for each in open_still] == [None, None]

    shelf.examine(open_still)

    assert [shelf.kind(each) for each in open_still] == [kind, kind]
    assert all(shelf.media({**each, "kind": kind}).mime_type for each in open_still)  # it is not looked at again


def test_what_is_known_as_a_picture_is_still_no_video(shelf: MediaShelf, root: Path) -> None:
    (root / "8f3a").write_bytes(A_JPEG)
    examined(shelf, "8f3a")

    with pytest.raises(ContentRejected, match=r"8f3a is a picture \(image/jpeg\), not a video"):
        examined(shelf, "8f3a", "video")


def test_of_a_big_picture_that_leaves_its_kind_open_only_the_beginning_is_fetched(
    shelf: MediaShelf, town: Town
) -> None:
    asked = []
    town.pages["/i/big"] = lambda sock, request: asked.append(request) or in_parts(A_BIG_JPEG)(sock, request)

    shelf.examine([asset("https://cdn.town.example/i/big", None)])

    assert len(asked) == 1


@pytest.mark.parametrize("place", PLACES)
def test_a_file_may_be_called_anything(place: str, shelf: MediaShelf, root: Path) -> None:
    source = place.format(root=root) if place.startswith("{") else place
    file = root / source
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(A_JPEG)

    assert content(examined(shelf, source)) == A_JPEG


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_may_look_as_addresses_do(address: str, town: Town) -> None:
    town.pages |= GOOD

    made = examined(MediaShelf(None, None), address)

    assert (made.mime_type, made.width, made.height) == ("image/jpeg", 64, 48)
    assert content(made) in (A_JPEG, A_BIG_JPEG)
    assert town.reached_inside == []


def test_the_media_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(A_JPEG)
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert content(examined(MediaShelf(tmp_path / "link", None), "a.jpg")) == A_JPEG


# --- hosts of one's own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["http://localhost", "https://localhost", "http://LOCALHOST.", "http://127.0.0.1"])
def test_a_host_of_ones_own_may_be_private_and_plain(host: str, town: Town) -> None:
    town.names["localhost"] = [["127.0.0.1"]]
    town.pages |= GOOD
    own = MediaShelf(None, None, ["localhost", "127.0.0.1"])

    assert content(examined(own, f"{host}:{town.port}/a.jpg")) == A_JPEG


@pytest.mark.parametrize(
    "source", ["http://cdn.town.example/a.jpg", "https://10.0.0.1/a.jpg", "https://localhost/a.jpg"]
)
def test_other_hosts_gain_nothing_by_it(source: str, town: Town) -> None:
    town.names["localhost"] = [["127.0.0.1"]]

    with pytest.raises(ContentRejected):
        MediaShelf(None, None, ["files.house"]).examine([asset(source)])
    assert town.reached_inside == []


def test_a_host_of_ones_own_leads_nobody_to_another_inside(town: Town) -> None:
    town.pages["/to-inside"] = redirect("http://10.0.0.1/a.jpg")

    with pytest.raises(ContentRejected, match="not by http"):
        MediaShelf(None, None, ["127.0.0.1"]).examine([asset(f"http://127.0.0.1:{town.port}/to-inside")])
    assert town.reached_inside == []


# --- where a platform fetches by itself ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "public"),
    [
        ("sub/two words.jpg", f"{BASE}/sub/two%20words.jpg"),
        ("./döner #1.jpg", f"{BASE}/d%C3%B6ner%20%231.jpg"),
        ("https://cdn.town.example/a.jpg?x=1", "https://cdn.town.example/a.jpg?x=1"),
    ],
)
def test_a_public_address_is_the_source_or_made_from_the_base_url(shelf: MediaShelf, source: str, public: str) -> None:
    assert shelf.media(asset(source)).public_url == public


@pytest.mark.parametrize(
    "source",
    [
        "http://cdn.town.example/a.jpg",
        "https://10.0.0.1/a.jpg",
        "https://[fd00::1]/a.jpg",
        "https://localhost/a.jpg",
        "https://media/a.jpg",
        "https://media.house.lan/a.jpg",
        "https://media.internal/a.jpg",
    ],
)
def test_what_cannot_be_reached_from_outside_has_no_public_address(source: str) -> None:
    for made in (
        MediaShelf(None, None, ["media", "media.internal"]).media(asset(source)),
        MediaShelf(Path("/"), source.rpartition("/")[0]).media(asset("a.jpg")),
    ):
        with pytest.raises(ContentRejected, match="cannot be reached by https from outside"):
            _ = made.public_url


def test_a_host_of_ones_own_that_has_a_private_address_has_no_public_one(town: Town) -> None:
    town.names["intern.town.example"] = [["127.0.0.1"]]
    town.pages |= GOOD
    own = MediaShelf(None, None, ["intern.town.example"])

    made = examined(own, f"https://intern.town.example:{town.port}/a.jpg")

    with pytest.raises(ContentRejected, match="cannot be reached by https from outside"):
        _ = made.public_url


def test_a_file_without_a_base_url_says_what_to_set() -> None:
    with pytest.raises(ContentRejected, match="set AUTOPOSTER_MEDIA_BASE_URL"):
        _ = MediaShelf(Path("/"), None).media(asset("a.jpg")).public_url


# --- what is remembered ----------------------------------------------------------------------------------------------


def test_an_address_is_looked_at_once_for_all_attempts_of_an_hour(shelf: MediaShelf, town: Town) -> None:
    town.pages["/once.jpg"] = ok(A_JPEG)
    source = "https://cdn.town.example/once.jpg"

    for _ in range(3):
        assert examined(shelf, source).width == 64

    assert sum(b"GET /once.jpg" in request for request in town.requests) == 1


def test_a_file_that_is_replaced_is_looked_at_again(shelf: MediaShelf, root: Path) -> None:
    (root / "a.jpg").write_bytes(A_JPEG)
    before = examined(shelf, "a.jpg")
    (root / "a.jpg").write_bytes(picture("PNG", size=(5, 6)))

    after = examined(shelf, "a.jpg")

    assert (before.mime_type, after.mime_type, after.width) == ("image/jpeg", "image/png", 5)


def test_what_was_not_examined_is_not_known_and_fetches_nothing(shelf: MediaShelf, town: Town) -> None:
    before = len(town.requests)

    made = shelf.media(asset("https://cdn.town.example/a.jpg", mime_type="image/png"))

    assert (made.mime_type, made.size, made.width) == ("image/png", None, None)
    assert len(town.requests) == before


def test_a_passing_trouble_is_not_remembered(shelf: MediaShelf, town: Town) -> None:
    source = "https://cdn.town.example/busy.jpg"
    town.pages["/busy.jpg"] = answer("503 Service Unavailable", b"", "Content-Length: 0")
    with pytest.raises(Transient, match="the server answers 503"):
        shelf.examine([asset(source)])
    town.pages["/busy.jpg"] = ok(A_JPEG)

    assert examined(shelf, source).size == len(A_JPEG)


def test_a_file_that_changed_since_it_was_looked_at_is_not_sent(shelf: MediaShelf, town: Town) -> None:
    town.pages["/changing.jpg"] = ok(A_JPEG)
    made = examined(shelf, "https://cdn.town.example/changing.jpg")
    town.pages["/changing.jpg"] = ok(A_BIG_JPEG)

    with pytest.raises(Transient, match="has changed since"):
        content(made)


def test_a_file_that_is_replaced_while_it_waits_is_not_sent(shelf: MediaShelf, root: Path) -> None:
    (root / "a.jpg").write_bytes(A_JPEG)
    made = examined(shelf, "a.jpg")
    (root / "a.jpg").write_bytes(A_BIG_JPEG)

    with pytest.raises(Transient, match="has changed since"):
        content(made)


def test_everything_that_is_wrong_with_an_album_is_said(shelf: MediaShelf) -> None:
    with pytest.raises(ContentRejected, match=r"There is no file a\.jpg .* There is no file b\.jpg"):
        shelf.examine([asset("a.jpg"), asset("b.jpg")])


def test_an_album_of_ten_is_looked_at_at_once(shelf: MediaShelf, town: Town) -> None:
    all_there = threading.Barrier(10, timeout=10)

    def answered_together(sock: Any, _: bytes) -> None:
        all_there.wait()
        sock.sendall(ok(A_JPEG))

    town.pages |= {f"/album-{number}.jpg": answered_together for number in range(10)}

    shelf.examine([asset(f"https://cdn.town.example/album-{number}.jpg") for number in range(10)])


def test_a_video_whose_server_sends_no_part_is_known_as_far_as_its_beginning_tells(
    shelf: MediaShelf, town: Town
) -> None:
    data = mp4(3_000_000)
    town.pages["/whole.mp4"] = ok(data)

    made = examined(shelf, "https://cdn.town.example/whole.mp4", "video")

    assert (made.mime_type, made.size) == ("video/mp4", len(data))
    assert (made.width, made.duration) == (None, None)


def test_a_media_root_that_is_not_there_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="AUTOPOSTER_MEDIA_ROOT cannot be read"):
        MediaShelf(tmp_path / "not-mounted", None).examine([asset("a.jpg")])


@pytest.mark.parametrize(
    "deed",
    ["open('/etc/hostname')", "socket.socket()", "os.pipe()", "bytearray(100_000_000)", "subprocess.run(['true'])"],
)
def test_what_looks_at_a_video_can_open_nothing_and_takes_no_memory(deed: str) -> None:
    code = (
        f"import os, runpy, socket, subprocess, sys; confine = runpy.run_path({film.__file__!r})['confine']; confine()"
    )
    tried = f"{code}\ntry:\n {deed}\nexcept (OSError, MemoryError): sys.exit(7)"

    assert subprocess.run([sys.executable, "-I", "-c", tried], check=False).returncode == 7


def test_a_library_that_is_not_there_says_nothing_about_a_video() -> None:
    without = subprocess.run([sys.executable, "-I", "-S", film.__file__], check=False)

    assert without.returncode == film.NO_LIBRARY


def test_no_worker_brings_what_decodes_pictures() -> None:
    code = "import sys, autoposter.publishing, autoposter.media; sys.exit('PIL' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0
