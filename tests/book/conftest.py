"""The site in a real browser: a local server, Chromium with all other hosts blocked, the gates."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from coursekit.book import finished_site
from coursekit.errors import CourseError

ROOT = Path(__file__).parents[2]
GATES = (Path(__file__).parent / "gates.js").read_text(encoding="utf-8")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `page_name` every page of the site."""
    if "page_name" in metafunc.fixturenames:
        site = ROOT / "book" / "_build" / "html"
        names = [path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html"))]
        names = [name for name in names if not name.startswith("_static/")]  # The theme's parts.
        # Without a site one test remains: it fails, and says how to build it.
        metafunc.parametrize("page_name", names or ["index.html"])


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the site that `make book` built."""
    try:
        return finished_site(ROOT)
    except CourseError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Path], str]]:
    """Serve folders on this machine; returns the address of each."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with contextlib.ExitStack() as stack:

        def start(folder: Path) -> str:
            handler = functools.partial(Quiet, directory=str(folder))
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/"

        yield start


@pytest.fixture(scope="session")
def address(site, serve) -> str:
    return serve(site)


class Visit:
    """One page in one window, and all that went wrong there."""

    def __init__(
        self,
        browser,
        address: str,
        name: str,
        width: int = 1280,
        scheme: str = "light",
        script: bool = True,
        patience: float = 10,
    ):
        self.console: list[str] = []
        self.failed: list[str] = []
        self.outside: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 844 if width < 500 else 900},
            color_scheme=scheme,
            java_script_enabled=script,
        )
        self.context.add_init_script(
            f"localStorage.setItem('mode', 'auto'); localStorage.setItem('theme', '{scheme}')"
        )
        home = urlsplit(address).netloc

        def block(route) -> None:
            if urlsplit(route.request.url).netloc == home:
                route.continue_()
            else:
                self.outside.append(route.request.url)
                route.abort()

        self.context.route("**/*", block)
        self.page = self.context.new_page()
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("requestfailed", lambda request: self.failed.append(request.url))
        self.page.on(
            "response",
            lambda answer: (
                self.failed.append(f"{answer.status} {answer.url}")
                if answer.status >= 400
                else None
            ),
        )
        self._patience = patience
        self.page.goto(address + name, wait_until="load")
        if script:
            self.page.evaluate(GATES)
            self._settle()

    def switch(self, scheme: str) -> None:
        """Let the reader's system change between light and dark."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        self._settle()

    def _settle(self) -> None:
        self.page.evaluate(f"gates.settled({self._patience})")

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.console.append(text)

    def problems(self) -> dict[str, list[str]]:
        """What each gate found; empty on a good page."""
        found = {
            "console": self.console,
            "failed requests": self.failed,
            "requests to other hosts": self.outside,
            **self.page.evaluate("gates.all()"),
        }
        return {gate: problems for gate, problems in found.items() if problems}


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Visit]]:
    """Open pages; close them at the end of the test."""
    with contextlib.ExitStack() as stack:

        def open_page(*arguments, **options) -> Visit:
            visit = Visit(browser, *arguments, **options)
            stack.callback(visit.context.close)
            return visit

        yield open_page
