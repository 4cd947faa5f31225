"""The page in a browser: every control and bad input; nothing is asked of any other host."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panopticapi.utils import rgb2id
from PIL import Image

from pading.vocabulary.class_vectors import ClassVectors
from tests.apps.checkpoints import save_models
from tests.apps.page_server import run_refused, serving
from tests.browsing import BrowserPage

pytest.importorskip("gradio", reason="the page needs the extra pading[app]")
NEW = ("red hexagon", "meadow", "cat", "dog", "<img src=x onerror='window.ran=1'>")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def photographs(scenes_root: Path) -> Path:
    return scenes_root / "shapes" / "val"


@pytest.fixture(scope="module")
def address(
    browser: Any, models: tuple, photographs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Of a page with both models beside each other."""
    folder = tmp_path_factory.mktemp("page")
    vectors = np.random.default_rng(0).normal(size=(len(NEW), 384)).astype(np.float32)
    ClassVectors(NEW, vectors, "by chance").save(folder / "new.npz")
    options = ("--examples", photographs, "--vectors", folder / "new.npz")
    arguments = (*models, *options, "MODEL.DEVICE", "cpu")
    with serving(*arguments, folder=folder) as (address, _):
        yield address


@pytest.fixture
def photo(photographs: Path) -> Path:
    return sorted(photographs.iterdir())[0]


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with BrowserPage(browser, hosts=(address,), accept_downloads=True) as page:
        page.goto(f"http://{address}")
        page.wait_for_selector("#photograph")
        yield page


def drawn(page: Any, act: Callable[[], Any]) -> None:
    """Act, and wait until the viewer shows what came of it."""
    page.evaluate("document.querySelector('.viewer')?.removeAttribute('data-drawn')")
    act()
    page.wait_for_selector(".viewer[data-drawn]")


def upload(page: Any, path: Path) -> None:
    drawn(page, lambda: page.set_input_files("#photograph input[type=file]", path))


def names(page: Any) -> list[str]:
    return page.locator(".entry .name").all_inner_texts()


def download(page: Any, button: str) -> Path:
    with page.expect_download() as found:
        page.get_by_role("button", name=button).click()
    return Path(found.value.path())


def refusal(page: Any, act: Callable[[], Any]) -> str:
    act()
    page.wait_for_selector("#status [role=alert]")
    return page.locator("#status").inner_text()


def one_model(page: Any) -> None:
    """The second alone: the one that compares with any text."""
    page.get_by_label("Left model").click()
    page.get_by_role("option", name="pixels.pth").click()
    page.wait_for_function("!document.querySelector('.titles')?.children.length")


def test_upload_to_download(page: Any, photo: Path) -> None:
    upload(page, photo)
    assert "64 x 64 pixels" in page.locator("#status [role=status]").inner_text()
    assert page.get_by_role("tab").all_inner_texts() == ["Panoptic", "Instance", "Semantic"]
    page.get_by_role("tab", name="Panoptic").press("ArrowLeft")
    page.wait_for_selector("[role=tab][aria-selected=true]:has-text('Semantic')")
    page.wait_for_selector(".viewer[data-drawn]")
    shown = set(names(page))
    with page.expect_download() as first:
        page.get_by_role("button", name="Download COCO JSON").click()
    coco = json.loads(Path(first.value.path()).read_text())
    assert coco["image"]["height"] == coco["image"]["width"] == 64
    assert shown <= {category["name"] for category in coco["categories"]}
    assert coco["instance"] and coco["panoptic"]
    page.get_by_role("tab", name="Panoptic").click()
    page.wait_for_selector("[role=tab][aria-selected=true]:has-text('Panoptic')")
    ids = rgb2id(np.asarray(Image.open(download(page, "PNG of segments"))))
    assert ids.shape == (64, 64)
    assert {*np.unique(ids).tolist()} - {0} == {segment["id"] for segment in coco["panoptic"]}
    assert Image.open(download(page, "Download picture")).size[0] >= 64


def test_hover_opacity_and_classes_switched_off(page: Any, photo: Path) -> None:
    drawn(page, lambda: page.locator("#examples button.thumbnail-item").first.click())
    page.locator(".tabs").get_by_role("tab", name="Semantic").click()
    page.wait_for_timeout(300)
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    name, kind = page.locator(".tip").inner_text().split(" · ")
    assert name in names(page) and kind in ("seen", "unseen")
    painted = "document.querySelector('canvas').getContext('2d').getImageData(0, 0, 900, 900)"
    count = f"{painted}.data.filter((v, i) => i % 4 === 3 && v).length"
    before = page.evaluate(count)
    page.locator(".entry").filter(has_text=name).get_by_role("checkbox").uncheck()
    assert page.evaluate(count) < before
    page.mouse.move(box["x"] + 0.2 * box["width"] + 1, box["y"] + 0.2 * box["height"])
    assert page.locator(".tip").is_hidden()
    page.get_by_label("Opacity of the overlay").fill("20")
    assert page.locator("canvas").first.evaluate("c => getComputedStyle(c).opacity") == "0.2"


def test_two_models_and_the_border_between_them(page: Any, photo: Path) -> None:
    upload(page, photo)
    assert page.locator(".titles span").all_inner_texts() == ["queries.pth", "pixels.pth"]
    page.get_by_label("Border between the two models").fill("25")
    assert "75%" in page.locator(".side0").evaluate("s => getComputedStyle(s).clipPath")
    one_model(page)
    assert page.locator(".side1").is_hidden()


def test_the_dial_answers_from_kept_scores(page: Any, photo: Path) -> None:
    upload(page, photo)
    page.get_by_role("tab", name="Semantic").click()
    kinds = page.locator(".entry .kind")
    dial = page.locator("#dial input[type=range]")
    drawn(page, lambda: dial.fill("1"))
    assert {*kinds.all_inner_texts()} == {"★ unseen"}
    drawn(page, lambda: dial.fill("-1"))
    assert {*kinds.all_inner_texts()} == {"seen"}


def test_a_class_is_typed_found_and_removed(page: Any, photo: Path) -> None:
    one_model(page)
    upload(page, photo)
    labels = page.locator("#labels").get_by_role("textbox")
    labels.fill("red circle, meadow")
    drawn(page, lambda: labels.press("Enter"))
    assert {*names(page)} <= {"red circle", "meadow"} and names(page)
    field = page.locator("#name").get_by_role("textbox")
    field.fill("red hexagon")
    drawn(page, lambda: field.press("Enter"))
    assert field.input_value() == ""
    assert page.locator("#added").get_by_text("red hexagon").is_visible()
    coco = json.loads(download(page, "Download COCO JSON").read_text())
    assert [c["name"] for c in coco["categories"]] == ["red circle", "meadow", "red hexagon"]
    assert "2 labels and 1 added" in page.locator("#status").inner_text()
    added = page.locator("#added").get_by_role("checkbox", name="red hexagon")
    drawn(page, added.click)  # and it is gone: uncheck() would look for it
    assert "red hexagon" not in names(page)
    labels.fill("red hexagon")
    drawn(page, lambda: labels.press("Enter"))
    assert names(page) == ["red hexagon"]
    field.fill("  <img src=x onerror='window.ran=1'>  ")
    drawn(page, lambda: field.press("Enter"))
    assert page.locator("#added").get_by_text("<img src=x").is_visible()
    assert page.evaluate("window.ran") is None


def test_bad_names_are_refused_with_a_sentence(page: Any, photo: Path) -> None:
    one_model(page)
    upload(page, photo)
    before = names(page)
    field = page.locator("#name").get_by_role("textbox")
    known = "green circle"
    for typed, sentence in ((known, "there already"), ("   ", "empty"), ("x" * 500, "500 char")):
        field.fill(typed)
        assert sentence in refusal(page, lambda: field.press("Enter"))
        page.evaluate("document.querySelector('#status [role=alert]').remove()")
    page.locator("#labels").get_by_role("textbox").fill("cat, dog, cat")
    said = refusal(page, lambda: page.locator("#labels").get_by_role("textbox").press("Enter"))
    assert "'cat' is there twice" in said
    assert names(page) == before


def test_bad_files_are_refused_with_a_sentence(page: Any, photo: Path, tmp_path: Path) -> None:
    upload(page, photo)
    before = names(page)
    (tmp_path / "text.png").write_text("no image")
    name = "<b onmouseover=alert(1)>.png"
    (tmp_path / name).write_bytes(photo.read_bytes()[:100])
    huge, bomb = tmp_path / "huge.png", tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(huge)
    Image.new("1", (9_000, 9_000)).save(bomb)
    cases = (
        (tmp_path / "text.png", "text.png: this is no image"),
        (tmp_path / name, "this image"),
        (huge, "too many"),
        (bomb, "9000 x 9000 pixels are too many"),
    )
    for path, sentence in cases:
        said = refusal(page, lambda p=path: page.set_input_files("#photograph input[type=file]", p))
        assert sentence in said
        page.evaluate("document.querySelector('#status [role=alert]').remove()")
    assert names(page) == before


def test_reload_in_the_middle_and_a_second_tab(page: Any, photo: Path) -> None:
    page.set_input_files("#photograph input[type=file]", photo)
    page.reload()
    page.wait_for_selector("#photograph")
    assert "choose a photograph" in page.locator("#status").inner_text()
    upload(page, photo)
    second = page.context.new_page()
    second.goto(page.url)
    second.wait_for_selector("#photograph")
    assert not second.locator(".viewer").count()
    assert "choose a photograph first" in refusal(
        second, lambda: second.locator("#dial input[type=range]").fill("0.5")
    )
    second.close()
    assert names(page)


def test_an_upload_goes_when_its_tab_is_closed(
    browser: Any, address: str, photo: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = tmp_path_factory.mktemp("own") / "nobody_else_sends_this.png"
    Image.fromarray(np.asarray(Image.open(photo))[::-1]).save(own)

    def kept() -> list[Path]:
        found = tmp_path_factory.getbasetemp().glob(f"page*/pading_page_*/**/{own.name}")
        return list(found)

    with BrowserPage(browser, hosts=(address,)) as page:
        page.goto(f"http://{address}")
        page.wait_for_selector("#photograph")
        upload(page, own)
        assert kept()
    end = time.monotonic() + 30
    while kept() and time.monotonic() < end:
        time.sleep(0.2)
    assert not kept()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_has_names_for_all(
    browser: Any, address: str, photo: Path, scheme: str, width: int
) -> None:
    context = {"color_scheme": scheme, "viewport": {"width": width, "height": 844}}
    with BrowserPage(browser, hosts=(address,), **context) as page:
        page.goto(f"http://{address}")
        page.wait_for_selector("#photograph")
        upload(page, photo)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
        for role in ("button", "checkbox", "textbox", "slider", "tab"):
            for control in page.get_by_role(role).all():
                assert control.is_hidden() or control.evaluate(
                    "e => e.ariaLabel || e.labels?.length || e.textContent.trim() || e.title"
                )


def test_a_page_that_cannot_start_says_why(models: tuple, address: str, tmp_path: Path) -> None:
    (tmp_path / "none.pth").write_text("no checkpoint")
    assert "none.pth" in run_refused(tmp_path / "none.pth")
    port = address.rpartition(":")[2]
    said = run_refused(models[1], "--port", port, "MODEL.DEVICE", "cpu")
    assert f"port {port} on 127.0.0.1 cannot be used" in said and "--port" in said
