"""Reads what a video is from its container: run as a program of its own, on the file that is its standard input.

The library is a big one, in C++, and the files come from strangers.  So it runs in a process that ends after it, may
take only so much time and memory, and can open nothing more, neither file nor socket: a container that refers to others
is not followed.  Prints what it found as JSON: `{"format", "codec_id", "is_cut", "video": {...} | null}`.
"""

import contextlib
import json
import resource
import sys

#: What reading a container takes: address space, of which the library alone takes 40 MB.
MOST_MEMORY = 104 * 1024**2  # bytes
MOST_CPU_SECONDS = 5


def confine() -> None:
    """Give up what is not needed."""
    limits = {
        resource.RLIMIT_AS: MOST_MEMORY,
        resource.RLIMIT_CPU: MOST_CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 3,
    }
    for kind, limit in limits.items():
        with contextlib.suppress(*([ValueError, OSError] if sys.platform == "darwin" else [])):  # it does not know all
            resource.setrlimit(kind, (limit, limit))


def main() -> None:
    """Read the standard input."""
    from pymediainfo import MediaInfo

    MediaInfo.can_parse()  # loads the library, while it can be opened
    confine()
    with open(0, "rb", closefd=False) as film:
        tracks = MediaInfo.parse(film).tracks
    general = next(track for track in tracks if track.track_type == "General")
    video = next((track for track in tracks if track.track_type == "Video"), None)
    found = {
        "format": general.format,
        "codec_id": general.codec_id,
        "is_cut": general.istruncated == "Yes",
        "duration": general.duration,
        "video": video and {"width": video.width, "height": video.height, "rotation": video.rotation},
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
