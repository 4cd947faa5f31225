"""How the page looks, on Gradio; what its controls do is in :mod:`pading.apps.page_actions`."""

import html
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pading.apps.model_pool import LONGEST_NAME, ModelPool, checked_names
from pading.apps.page_actions import (
    Session,
    looked,
    opened,
    summary,
    view,
    with_added,
    with_class,
)
from pading.apps.uploads import MOST_BYTES, Uploads
from pading.apps.viewer import SCRIPT, STYLE
from pading.errors import InputError

# No request leaves this machine: neither Gradio's telemetry nor a look at the model hub.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr

_HOUR = 3600
# Uploads go when their session ends. What was sent and never looked at, as when a tab is closed
# meanwhile, is looked for once a minute and removed when it is ten minutes old.
_UPLOADS = (60, 600)
_SESSIONS = 64
_WAITING = 500
_NONE = "one model"
_STYLE = """
.gradio-container { max-width: 1280px !important; margin: 0 auto; }
#examples .grid-container {
  grid-template-columns: repeat(4, minmax(0, 1fr)) !important; height: auto !important;
}
#examples .grid-wrap { min-height: 0; max-height: 340px; padding-top: 30px; }
.status p { margin: 0; padding: 8px 12px; border-radius: 8px; overflow-wrap: anywhere; }
.status p[role=status] { background: var(--background-fill-secondary); }
.status p[role=alert] { background: #b42318; color: #fff; }
"""
_HEADING = "# pading\nDrop a photograph. Classes with a star were never shown in training."


def _status(text: str, problem: bool = False) -> str:
    role = "alert" if problem else "status"
    return f'<p role="{role}">{html.escape(text)}</p>'


def build_page(pool: ModelPool, examples: Sequence[Path] = ()) -> gr.Blocks:
    """The page for some models.

    Args:
        pool: the first is shown, the second beside it where there is one.
        examples: photographs to choose from.
    """
    gr.set_static_paths(list(examples))  # shown from where they are, not from copies
    titles = pool.titles
    first = Session(titles=tuple(titles[:2]))
    uploads = Uploads()

    def answer(change: Callable[[], Session], bias: float, session: Session) -> tuple[Any, ...]:
        """Viewer, status, classes added, session; a refused change leaves all as it was."""
        try:
            new = change()
            shown = view(new, bias, with_image=True) if new.looks else gr.skip()
        except InputError as error:
            return gr.skip(), _status(str(error), problem=True), _added(session), session
        return shown, _status(summary(new)), _added(new), new

    def on_photograph(
        path: str | None, bias: float, session: Session, request: gr.Request
    ) -> tuple[Any, ...]:
        if path is None:
            return (gr.skip(),) * 5
        uploads.used(str(request.session_hash), path)
        return *answer(lambda: opened(session, path, pool), bias, session), None

    def on_example(event: gr.SelectData, bias: float, session: Session) -> tuple[Any, ...]:
        path = str(examples[event.index])
        return answer(lambda: opened(session, path, pool), bias, session)

    def on_name(name: str, bias: float, session: Session) -> tuple[Any, ...]:
        found = answer(lambda: with_class(session, name, pool), bias, session)
        return *found, "" if found[-1] is not session else gr.skip()

    def on_added(names: list[str], bias: float, session: Session) -> tuple[Any, ...]:
        return answer(lambda: with_added(session, names, pool), bias, session)

    def on_labels(text: str, bias: float, session: Session) -> tuple[Any, ...]:
        def change() -> Session:
            return looked(replace(session, vocabulary=(checked_names(text), ())), pool)

        return answer(change, bias, session)

    def on_models(left: str, right: str, bias: float, session: Session) -> tuple[Any, ...]:
        chosen = (left,) if right in (left, _NONE) else (left, right)
        return answer(lambda: looked(replace(session, titles=chosen), pool), bias, session)

    def on_dial(bias: float, session: Session) -> tuple[Any, ...]:
        try:
            return view(session, bias, with_image=False), gr.skip()
        except InputError as error:
            return gr.skip(), _status(str(error), problem=True)

    def on_end(request: gr.Request) -> None:
        uploads.ended(str(request.session_hash))

    with gr.Blocks(title="pading", analytics_enabled=False, delete_cache=_UPLOADS) as page:
        session = gr.State(first, time_to_live=_HOUR)
        gr.Markdown(_HEADING)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                photograph = gr.File(
                    label="Photograph", file_types=["image"], height=150, elem_id="photograph"
                )
                gallery = gr.Gallery(
                    [str(path) for path in examples],
                    label="Or choose an example",
                    columns=4,
                    allow_preview=False,
                    buttons=[],
                    visible=bool(examples),
                    elem_id="examples",
                )
                name = gr.Textbox(
                    label="Add a class by its name",
                    placeholder="red hexagon",
                    info="Type it and press Enter.",
                    max_length=10 * LONGEST_NAME,
                    elem_id="name",
                )
                added = gr.CheckboxGroup(
                    [],
                    label="Classes added (clear a box to remove one)",
                    visible=False,
                    elem_id="added",
                )
                labels = gr.Textbox(
                    label="Or look for these alone",
                    placeholder="cat, grass, other",
                    info="Names with commas, then Enter, for models that compare with any text; "
                    "empty: the model's own classes.",
                    elem_id="labels",
                )
                bias = gr.Slider(
                    -1,
                    1,
                    0,
                    step=0.01,
                    label="Seen-unseen dial",
                    info="To the right unseen classes are preferred, to the left seen ones.",
                    buttons=[],
                    elem_id="dial",
                )
                with gr.Group(visible=len(titles) > 1):
                    left = gr.Dropdown(titles, value=titles[0], label="Left model", elem_id="left")
                    right = gr.Dropdown(
                        [*titles, _NONE],
                        value=titles[1] if len(titles) > 1 else _NONE,
                        label="Right model",
                        elem_id="right",
                    )
            with gr.Column(scale=3, min_width=320):
                status = gr.HTML(_status(summary(first)), elem_classes="status", elem_id="status")
                viewer = gr.HTML(
                    "",
                    html_template="<div></div>",
                    css_template=STYLE,
                    js_on_load=SCRIPT,
                    apply_default_css=False,
                    min_height=320,
                    elem_id="viewer",
                )
        shown = [viewer, status, added, session]
        # One at a time: a model takes all cores. The others wait in the queue, in turn.
        by_model: dict[str, Any] = {
            "concurrency_id": "model",
            "concurrency_limit": 1,
            "show_progress": "full",
            "show_progress_on": viewer,
        }
        photograph.upload(
            on_photograph,
            [photograph, bias, session],
            [*shown, photograph],
            api_name="look",
            **by_model,
        )
        gallery.select(on_example, [bias, session], shown, api_visibility="private", **by_model)
        name.submit(on_name, [name, bias, session], [*shown, name], api_name="add", **by_model)
        added.input(on_added, [added, bias, session], shown, api_name="keep", **by_model)
        labels.submit(on_labels, [labels, bias, session], shown, api_name="labels", **by_model)
        for choice in (left, right):
            choice.input(
                on_models, [left, right, bias, session], shown, api_visibility="private", **by_model
            )
        bias.input(
            on_dial,
            [bias, session],
            [viewer, status],
            queue=False,
            show_progress="hidden",
            trigger_mode="always_last",
            api_name="dial",
        )
        page.unload(on_end)
    page.queue(max_size=_WAITING)
    return page


def _added(session: Session) -> Any:
    names = list(session.vocabulary[1])
    return gr.CheckboxGroup(names, value=names, visible=bool(names))


def serve(pool: ModelPool, examples: Sequence[Path], host: str, port: int) -> None:
    """Show the page until it is interrupted, and print its address.

    Uploads lie in a folder of their own, which goes when the page does.

    Args:
        pool, examples: see :func:`build_page`.
        host, port: where it listens.

    Raises:
        InputError: the port is taken, or the host is none of this machine's.
    """
    fonts = ["system-ui", "sans-serif"]
    with tempfile.TemporaryDirectory(prefix="pading_page_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            page = build_page(pool, examples)
            _, url, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                inbrowser=False,
                prevent_thread_lock=True,
                show_error=False,
                footer_links=[],
                max_file_size=MOST_BYTES,
                state_session_capacity=_SESSIONS,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                theme=gr.themes.Soft(font=fonts, font_mono=["ui-monospace", "monospace"]),
                css=_STYLE,
            )
        except OSError as error:
            raise InputError(
                f"port {port} on {host} cannot be used ({error}); another program has it: name "
                "another with --port"
            ) from error
        print(f"{url}  (Ctrl-C ends it)", flush=True)
        page.block_thread()
