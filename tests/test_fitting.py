"""`schedule --fit` converts pictures into what the accounts' platforms take, and says what it did."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
from media_files import picture, png
from PIL import Image, ImageCms

from autoposter.errors import Refused
from autoposter.fitting import fit_pictures, limits_of
from autoposter.media import MediaShelf
from autoposter.plugins import Host
from autoposter.publishers import Delivery, PictureLimits, Post, Publisher, Receipt
from autoposter.store.posts import NewContent

JPEG_ONLY = PictureLimits(("image/jpeg",))


def content_of(*sources: str, kind: str = "image") -> NewContent:
    return NewContent(
        "Hello", None, "{}", tuple({"kind": kind, "source": one, "alt_text": "A door"} for one in sources)
    )


def fitted(root: Path, data: bytes, limits: PictureLimits, name: str = "door.png") -> tuple[Image.Image, Path, str]:
    """The picture that comes of this one, its file, and what was said."""
    (root / name).write_bytes(data)
    shelf = MediaShelf(root, None)
    content = content_of(name)
    shelf.examine(content.media)
    content, done = fit_pictures(content, limits, root, shelf)
    [asset] = content.media
    file = root / str(asset["source"])
    assert asset["alt_text"] == "A door"
    assert (root / name).read_bytes() == data, "the original is never changed"
    return Image.open(file), file, " ".join(done)


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010F] = "A phone that knows where it was"
    return made


def test_a_png_becomes_the_jpeg_that_is_taken_and_lies_beside_it(tmp_path: Path) -> None:
    made, file, said = fitted(tmp_path, picture("PNG"), JPEG_ONLY)

    assert (made.format, made.size, file.parent) == ("JPEG", (64, 48), tmp_path)
    assert said == f"door.png is not changed; {file.name} is what fits: PNG became JPEG, its metadata were left out."


def test_a_picture_that_fits_stays_as_it_is_and_nothing_is_said(tmp_path: Path) -> None:
    _, file, said = fitted(tmp_path, picture("JPEG"), JPEG_ONLY, "door.jpg")

    assert (file.name, said) == ("door.jpg", "")
    assert list(tmp_path.iterdir()) == [file]


def test_fitting_twice_makes_one_file(tmp_path: Path) -> None:
    _, first, _ = fitted(tmp_path, picture("PNG"), JPEG_ONLY)
    _, second, _ = fitted(tmp_path, picture("PNG"), JPEG_ONLY)

    assert first == second
    assert sorted(tmp_path.iterdir()) == sorted([first, tmp_path / "door.png"])


def test_a_folder_that_takes_no_file_is_named_and_not_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def open_to_read(path: Any, flags: int, *args: Any, **how: Any) -> int:
        if flags & os.O_CREAT:
            refuse()
        return really(path, flags, *args, **how)

    monkeypatch.setattr(os, "open", open_to_read)  # root may write into any folder, so the disk is read-only
    monkeypatch.setattr(os, "unlink", refuse)

    with pytest.raises(
        Refused, match=r"^Nothing can be written into the folder of door\.png: Read-only file system\.$"
    ):
        fitted(tmp_path, picture("PNG"), JPEG_ONLY)


@pytest.mark.parametrize("name", ["門" * 80 + ".png", "d" * 251 + ".png"])
def test_a_name_as_long_as_a_name_can_be_is_cut(tmp_path: Path, name: str) -> None:
    made, file, _ = fitted(tmp_path, picture("PNG"), JPEG_ONLY, name)

    assert made.format == "JPEG"
    assert len(file.name.encode()) < 255 and file.name[:50] == name[:50]


def test_a_file_of_that_name_that_is_another_is_not_written_over(tmp_path: Path) -> None:
    _, file, _ = fitted(tmp_path, picture("PNG"), JPEG_ONLY)
    file.write_bytes(b"somebody else's")

    with pytest.raises(Refused, match="is there already, and is another file"):
        fitted(tmp_path, picture("PNG"), JPEG_ONLY)
    assert file.read_bytes() == b"somebody else's"
    assert len(list(tmp_path.iterdir())) == 2, "no scratch file is left"


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_written_upright_without_its_metadata(tmp_path: Path, orientation: int) -> None:
    lying = Image.new("RGB", (60, 40), "white")
    lying.paste("black", (0, 0, 30, 20))
    data = io.BytesIO()
    lying.save(data, "JPEG", exif=exif(orientation))

    made, _, said = fitted(tmp_path, data.getvalue(), JPEG_ONLY, "door.jpg")

    assert made.size == ((40, 60) if orientation >= 5 else (60, 40))
    corners = {2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}  # EXIF 2.3, 4.6.4 A
    across, down = corners[orientation]
    black = made.convert("L").getpixel((across * (made.width - 1), down * (made.height - 1)))
    assert isinstance(black, int | float)
    assert black < 60
    assert "it was turned upright" in said
    assert "its metadata were left out" in said
    assert len(made.getexif()) == 0


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    made, _, said = fitted(tmp_path, picture("PNG", mode="RGBA"), JPEG_ONLY)

    assert made.getpixel((5, 5)) == (255, 255, 255)
    assert "its transparent parts became white" in said


@pytest.mark.parametrize(("limits", "expected"), [(JPEG_ONLY, "RGB"), (PictureLimits(("image/webp",)), "RGBA")])
def test_a_palette_with_a_transparent_colour_is_understood(
    tmp_path: Path, limits: PictureLimits, expected: str
) -> None:
    red = Image.new("P", (20, 20), 3)
    red.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2, 200, 0, 0])
    data = io.BytesIO()
    red.save(data, "PNG", transparency=3)

    made, _, _ = fitted(tmp_path, data.getvalue(), limits)

    assert made.mode == expected
    if expected == "RGB":
        assert made.getpixel((5, 5)) == (255, 255, 255)
    else:
        assert made.getchannel("A").getextrema() == (0, 0)


def test_an_opaque_picture_with_an_alpha_channel_is_not_said_to_be_transparent(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGBA", (20, 20), (200, 0, 0, 255)).save(data, "PNG")

    _, _, said = fitted(tmp_path, data.getvalue(), JPEG_ONLY)

    assert "transparent" not in said


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    made, _, said = fitted(tmp_path, picture("TIFF", mode="CMYK"), JPEG_ONLY, "door.tif")

    assert (made.format, made.mode) == ("JPEG", "RGB")
    assert "its CMYK colours became RGB" in said


def test_sixteen_bits_of_grey_become_eight_of_the_same_brightness(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("I;16", (20, 20), 0x8000).save(data, "PNG")

    made, _, said = fitted(tmp_path, data.getvalue(), JPEG_ONLY)

    grey = made.getpixel((5, 5))
    assert made.mode == "L"
    assert isinstance(grey, int | float)
    assert abs(grey - 128) < 3
    assert "its 16 bits of grey became 8" in said


def test_of_a_moving_picture_the_first_frame_is_kept(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])

    made, _, said = fitted(tmp_path, data.getvalue(), JPEG_ONLY, "door.gif")

    assert made.convert("RGB").getpixel((5, 5))[0] > 200  # type: ignore[index]  # of RGB it is three numbers
    assert "only the first of its 3 frames is kept" in said


def test_a_colour_profile_is_kept_with_its_picture(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    made, _, _ = fitted(tmp_path, picture("PNG", icc_profile=profile), JPEG_ONLY)

    assert made.info["icc_profile"] == profile


def noise(kind: str, size: tuple[int, int]) -> bytes:
    data = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(data, kind, quality=100)
    return data.getvalue()


def test_too_many_bytes_and_pixels_shrink_and_the_proportions_stay(tmp_path: Path) -> None:
    limits = PictureLimits(("image/jpeg", "image/png"), max_bytes=60_000, max_pixels=400_000)

    made, file, said = fitted(tmp_path, noise("PNG", (1200, 800)), limits)

    assert made.format == "JPEG"
    assert file.stat().st_size <= 60_000
    assert made.width * made.height <= 400_000
    assert abs(made.width / made.height - 1.5) < 0.02
    assert f"it shrank from 1200x800 to {made.width}x{made.height} pixels" in said


def test_its_own_type_is_kept_where_that_is_taken(tmp_path: Path) -> None:
    limits = PictureLimits(("image/jpeg", "image/png"), max_pixels=1000)

    made, _, said = fitted(tmp_path, picture("PNG", mode="RGBA"), limits)

    assert (made.format, made.mode) == ("PNG", "RGBA")
    assert "became" not in said


@pytest.mark.parametrize(
    ("data", "limits", "why"),
    [
        (b"\x89PNG\r\n\x1a\n" + picture("PNG")[8:60], JPEG_ONLY, "cannot be converted here"),
        (png(12_000, 12_000), JPEG_ONLY, "more pixels than can be converted here"),
        (picture("PNG"), PictureLimits(("image/heic",)), "Only HEIC is taken, which cannot be written here"),
        (
            noise("PNG", (300, 300)),
            PictureLimits(("image/jpeg",), max_bytes=300),
            "cannot be made as small as 300 bytes",
        ),
    ],
    ids=["broken", "too many pixels", "a type that is not written", "too few bytes"],
)
def test_what_cannot_be_converted_is_refused_in_one_sentence_and_nothing_is_written(
    tmp_path: Path, data: bytes, limits: PictureLimits, why: str
) -> None:
    with pytest.raises(Refused, match=why) as refused:
        fitted(tmp_path, data, limits)

    assert "\n" not in str(refused.value)
    assert [file.name for file in tmp_path.iterdir()] == ["door.png"]


def test_videos_and_addresses_are_left_alone(tmp_path: Path) -> None:
    content = content_of("https://cdn.example/a.png"), content_of("film.mp4", kind="video")

    for each in content:
        assert fit_pictures(each, JPEG_ONLY, tmp_path, MediaShelf(tmp_path, None)) == (each, [])


class Gallery(Publisher):
    platform = "gallery"
    delivery = Delivery.BLIND
    pictures = PictureLimits(("image/jpeg", "image/png"), max_bytes=8_000_000, min_ratio=0.8, max_ratio=1.91)

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        raise NotImplementedError


class Kiosk(Gallery):
    platform = "kiosk"
    pictures = PictureLimits(("image/png", "image/webp"), max_bytes=5_000_000, min_side=250, max_ratio=3)


class Museum(Gallery):
    platform = "museum"
    pictures = PictureLimits(("image/tiff",))


class Town(Host):
    def publisher_for(self, platform: str) -> type[Publisher]:
        found = {"gallery": Gallery, "kiosk": Kiosk, "museum": Museum}.get(platform)
        return found or super().publisher_for(platform)


def test_one_picture_for_several_platforms_is_what_all_of_them_take() -> None:
    assert limits_of(["gallery", "kiosk", "gallery", "stub"], Town()) == PictureLimits(
        ("image/png",), max_bytes=5_000_000, min_side=250, min_ratio=0.8, max_ratio=1.91
    )


def test_platforms_that_have_nothing_in_common_are_scheduled_each_by_itself() -> None:
    with pytest.raises(Refused, match="schedule on each by itself"):
        limits_of(["gallery", "museum"], Town())


def test_where_no_platform_says_what_it_takes_that_is_not_known() -> None:
    assert limits_of(["stub"], Town()) is None
    with pytest.raises(Refused, match="What facebook takes is not known here"):
        limits_of(["facebook"], Host(allow=()))
