"""Reads what a video is from its container: run as a program of its own, on the file that is its standard input.

The library is a big one, in C++, and the files come from strangers.  So it runs in a process that ends after it, may
take only so much time and memory, and can open nothing more, neither file nor socket: a container that refers to others
is not followed.  Prints what it found as JSON: `{"format", "codec_id", "is_cut", "video": {...} | null}`.
"""

import contextlib
import json
import resource
import sys
from pathlib import Path

#: Reading a container may take this much more memory than the process has with the library in it.
MORE_MEMORY = 64 * 1024**2  # bytes
MOST_CPU_SECONDS = 5

#: Exit code: the library is not there, which says nothing about the file.
NO_LIBRARY = 3


def main() -> None:
    """Read the standard input."""
    try:
        from pymediainfo import MediaInfo
    except ImportError:
        sys.exit(NO_LIBRARY)
    if not MediaInfo.can_parse():  # loads the library, while it can be opened
        sys.exit(NO_LIBRARY)
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


def confine() -> None:
    """Give up what is not needed.  Where there is no `/proc` (macOS), memory is not limited."""
    limits = {
        resource.RLIMIT_CPU: MOST_CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    with contextlib.suppress(FileNotFoundError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + MORE_MEMORY
    limits[resource.RLIMIT_NOFILE] = 3
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    main()
