"""What a run says on the console where it is to be brief; its log.txt has everything."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from detectron2.utils import comm

_PROGRESS = "utils.events"
"""The end of a logger's name: Detectron2's formatters shorten its beginning in the record."""
_LOSSES = re.compile(r"(total_loss: \S+).*", re.DOTALL)


@contextmanager
def brief_console() -> Iterator[None]:
    """Loggers that are set up inside say on the console what a user waits for, and no more.

    That is what pading says, progress with the whole loss, and warnings; not the environment, the
    configuration and the network.
    """
    # Handlers keep the stream that they are made with; nobody closes it, since they write on.
    with redirect_stdout(open(os.devnull, "w", encoding="utf-8")):
        yield
    if not comm.is_main_process():
        return
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(_Brief("%(asctime)s %(message)s", "%H:%M:%S"))
    console.addFilter(_is_awaited)
    for name in ("detectron2", "fvcore", "pading"):
        logging.getLogger(name).addHandler(console)


def _is_awaited(record: logging.LogRecord) -> bool:
    awaited = record.name.endswith(_PROGRESS) or record.name.startswith("pading.")
    return awaited or record.levelno >= logging.WARNING


class _Brief(logging.Formatter):
    """Of a line of progress, what comes before the parts of the loss."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return _LOSSES.sub(r"\1", text) if record.name.endswith(_PROGRESS) else text
