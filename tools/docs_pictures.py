#!/usr/bin/env python3
"""The pictures of docs/gallery.md, made anew: what ``make docs-pictures`` runs after the demo.

Starts the page on the demo's models, opens it and the demo's report in headless Chromium, and
takes pictures: of the page on a desktop and on a telephone, and of the report.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from pading.errors import InputError, exit_on_input_error

_ROOT = Path(__file__).resolve().parents[1]
_DEMO, _PICTURES = _ROOT / "output" / "demo", _ROOT / "docs" / "gallery"
_SCENES = _ROOT / "datasets" / "shapes" / "val"
_ADDRESS, _PORT = "http://127.0.0.1:7861", "7861"
_DESKTOP, _TELEPHONE = {"width": 1280, "height": 1150}, {"width": 390, "height": 844}


def main() -> None:
    models = [_DEMO / stage / "model_final.pth" for stage in ("PADing", "pretrain")]
    for path in (*models, _DEMO / "report.html"):
        if not path.is_file():
            raise InputError(f"{path}: is not there; run make demo first")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise InputError("no Chromium on this machine; Debian: apt-get install chromium")
    _PICTURES.mkdir(exist_ok=True)
    command = [sys.executable, _ROOT / "tools" / "app.py", *models, "--examples", _SCENES]
    more = ("--port", _PORT, "MODEL.DEVICE", "cpu", "MODEL.INFERENCE.SEMANTIC_ON", "True")
    server = subprocess.Popen([*map(str, command), *more], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        if not server.stdout.readline():
            raise InputError(f"the page did not start on port {_PORT}; see above")
        with sync_playwright() as playwright:
            options = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=chromium, args=options)
            take_page(browser, _PICTURES / "page.jpg", _DESKTOP, "light")
            take_page(browser, _PICTURES / "page_telephone.jpg", _TELEPHONE, "dark")
            page = browser.new_page(viewport=_DESKTOP)
            page.goto((_DEMO / "report.html").as_uri())
            page.screenshot(path=_PICTURES / "report.jpg", quality=85)
            page.locator("h2:has-text('panoptic images')").evaluate("e => e.scrollIntoView()")
            page.screenshot(path=_PICTURES / "report_images.jpg", quality=85)
    finally:
        server.terminate()
        server.wait()
    print(*sorted(_PICTURES.iterdir()), sep="\n")


def take_page(browser: Any, path: Path, viewport: dict[str, int], scheme: str) -> None:
    """A picture of the page with a scene and both models; on a telephone, of the results."""
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    page.goto(_ADDRESS)
    page.locator("#examples button.thumbnail-item").nth(4).click()
    page.wait_for_selector(".viewer[data-drawn]")
    if viewport == _TELEPHONE:
        page.locator("#status").evaluate("e => e.scrollIntoView()")
    page.wait_for_timeout(500)  # until the browser has drawn it
    page.screenshot(path=path, quality=85)
    page.close()


if __name__ == "__main__":
    exit_on_input_error(main)
