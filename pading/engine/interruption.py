"""Being asked to stop: SIGTERM (what Slurm and torchrun send) and SIGINT (Ctrl-C)."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)

EXIT_STATUS = 75
"""What a stopped run exits with, EX_TEMPFAIL of sysexits.h: start it again with --resume."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(SystemExit):
    """The run stops because it was asked to; its last checkpoint is complete."""

    def __init__(self) -> None:
        super().__init__(EXIT_STATUS)


class Interruption:
    """Whether the process was asked to stop, and when it may.

    While ``deferred``, a signal is only noted: training looks at ``received`` after every step and
    writes a checkpoint first. At any other time a signal stops the process at once.
    """

    def __init__(self, finishes: str = "this step, with a checkpoint") -> None:
        """
        Args:
            finishes: what is still done while deferred, for the message.
        """
        self.finishes = finishes
        self.received = False
        self.deferred = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals in the block; only a process's main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield
        finally:
            self.deferred = False
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Do not defer in the block, nor what is waiting: nothing would be lost."""
        before, self.deferred = self.deferred, False
        if self.received:
            raise Interrupted
        try:
            yield
        finally:
            self.deferred = before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        name = signal.Signals(number).name
        if not self.deferred:
            logger.warning("%s: stopping", name)
            raise Interrupted
        logger.warning("%s: stopping after %s", name, self.finishes)
