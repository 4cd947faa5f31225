"""Many visitors at once: no answer is lost, memory is bounded, a cut upload harms nobody."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.apps.checkpoints import save_models
from tests.apps.page_server import serving

pytest.importorskip("gradio", reason="the page needs the extra pading[app]")
from gradio_client import Client, handle_file

CLIENTS, REQUESTS = 20, 200
_MOST_GROWTH = 500_000_000  # bytes: a session keeps its photograph and the results of it


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    folder = tmp_path_factory.mktemp("page")
    with serving(save_models(folder)[0], "MODEL.DEVICE", "cpu", folder=folder) as found:
        yield found


def cut_upload(address: str, content: bytes) -> None:
    """Send half of what was announced, and hang up."""
    host, _, port = address.partition(":")
    head = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="cut.png"\r\n'
        b"Content-Type: image/png\r\n\r\n"
    )
    request = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {address}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n"
        f"Content-Length: {len(head) + len(content)}\r\n\r\n"
    ).encode()
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request + head + content[: len(content) // 2])


@pytest.mark.slow
def test_two_hundred_requests_of_twenty_clients(page: tuple[str, int], tmp_path: Path) -> None:
    address, pid = page
    process = psutil.Process(pid)
    colours = [np.full((48, 40 + n, 3), 12 * n, np.uint8) for n in range(CLIENTS)]
    for n, pixels in enumerate(colours):
        Image.fromarray(pixels).save(tmp_path / f"photo{n}.png")
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    clients = [Client(f"http://{address}", verbose=False) for _ in range(CLIENTS)]
    started, peak, waits = threading.Barrier(CLIENTS + 1), [0], []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            peak[0] = max(peak[0], process.memory_info().rss)

    def visit(n: int) -> int:
        started.wait(60)
        answers = 0
        for _ in range(REQUESTS // CLIENTS):
            start = time.monotonic()
            viewer, status, *_ = clients[n].predict(
                handle_file(tmp_path / f"photo{n}.png"), 0, api_name="/look"
            )
            waits.append(time.monotonic() - start)
            # Everyone gets the answer to their own question.
            assert json.loads(viewer)["width"] == 40 + n
            assert f"photo{n}, {40 + n} x 48 pixels" in status
            answers += 1
        return answers

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        visits = [pool.submit(visit, n) for n in range(CLIENTS)]
        started.wait(60)
        before, begin = process.memory_info().rss, time.monotonic()
        pool.submit(watch)
        for _ in range(3):
            cut_upload(address, (tmp_path / "cut.png").read_bytes())
            time.sleep(0.5)
        answers = sum(future.result() for future in visits)
        seconds = time.monotonic() - begin
        over.set()
    waits.sort()
    print(
        f"\n{answers} answers for {CLIENTS} clients in {seconds:.1f} s; waits: median "
        f"{waits[len(waits) // 2]:.2f} s, longest {waits[-1]:.2f} s; memory {before / 1e6:.0f} MB "
        f"before, {peak[0] / 1e6:.0f} MB at most"
    )
    assert answers == REQUESTS
    assert peak[0] - before < _MOST_GROWTH
