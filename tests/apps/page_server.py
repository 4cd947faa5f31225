"""The page in a process of its own, as a user starts it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START = (sys.executable, str(ROOT / "tools" / "app.py"))
_SECONDS = 120  # seconds: the models are loaded first


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(*arguments: object, folder: Path) -> Iterator[tuple[str, int]]:
    """The address of a page, and the id of its process; it ends with the block."""
    command = [*START, *map(str, arguments), "--port", str(free_port())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    with open(folder / "page.log", "w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        timer = threading.Timer(_SECONDS, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()
            timer.cancel()
            match = re.match(r"http://(\S+)/", line)
            assert match, (folder / "page.log").read_text()[-3000:]
            yield match[1], process.pid
        finally:
            timer.cancel()
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_refused(*arguments: Sequence[str]) -> str:
    """What a page that cannot start says; its status is 2."""
    done = subprocess.run(
        [*START, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2, done.stderr[-3000:]
    return done.stderr
