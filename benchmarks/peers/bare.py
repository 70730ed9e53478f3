"""The recorded statements for each post of `posts.txt`, by some threads; this process takes every `of`-th."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

from peers import work

threads, number = int(sys.argv[1]), int(sys.argv[2])
of = int(os.environ["BENCH_PROCESSES"])
posts: SimpleQueue[int] = SimpleQueue()
for post_id in Path("posts.txt").read_text().split()[number::of]:
    posts.put(int(post_id))


def run() -> None:
    """Take posts until there are none."""
    while True:
        try:
            work.publish(posts.get_nowait())
        except Empty:
            return


print("begins", flush=True)
for _ in range(threads):
    threading.Thread(target=run).start()
