"""A script in a process forked from one that has imported is as one that a shell starts."""

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_script_heeds_sigterm_though_its_fork_server_does_not(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text("print('started', flush=True)\nimport time\ntime.sleep(60)\n")
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"sys.path.insert(0, {str(ROOT / 'tools')!r}); "
        f"import script_processes; script_processes._run_as_main([{str(script)!r}], None, {{}})"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"started\n"
            process.terminate()
            assert process.wait(timeout=20) == -signal.SIGTERM
        finally:
            process.kill()
