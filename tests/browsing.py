"""A page of the browser that fails the test on any error in its console, and on any request."""

from types import TracebackType
from typing import Any


class BrowserPage:
    """``with BrowserPage(browser) as page``: Playwright's page.

    In the end no script may have failed, nothing may have been written to the console as an error,
    and no request may have gone to any host but ``hosts``.
    """

    def __init__(self, browser: Any, hosts: tuple[str, ...] = (), **context: Any) -> None:
        self._context = browser.new_context(**context)
        self._hosts = hosts
        self.errors: list[str] = []
        self.requests: list[str] = []

    def __enter__(self) -> Any:
        page = self._context.new_page()
        page.set_default_timeout(120_000)  # ms; a busy machine is no fault
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        return page

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location['url']})")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.close()
        if error is None:
            assert not self.errors, self.errors
            own = ("file:", "data:", "blob:", *(f"http://{host}" for host in self._hosts))
            assert [url for url in self.requests if not url.startswith(own)] == []
