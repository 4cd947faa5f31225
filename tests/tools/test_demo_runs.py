"""How the demos run the project's scripts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import demo
import pytest

_WAITS = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(300)
"""


def test_who_stops_a_demo_stops_its_script(tmp_path: Path) -> None:
    script, started = tmp_path / "waits.py", tmp_path / "pid"
    script.write_text(_WAITS)
    program = "import sys, demo; demo.run(*sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(Path(demo.__file__).parent)}
    running = subprocess.Popen([sys.executable, "-c", program, script, started], env=environment)
    deadline = time.monotonic() + 200
    while not (started.is_file() and started.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.terminate()
    assert running.wait(timeout=100) == 75
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
