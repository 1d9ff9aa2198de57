"""For all tests: order; failures told at once; a skip is a failure in CI; and a browser."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_LONGEST = ("test_notebooks_nbval.py", "test_random_kills.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: else one process is still at them when the others have no more."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


class _AtOnce:
    """Tells in CI of a failure when it happens: a run that is cut off has no summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._terminal = config.pluginmanager.get_plugin("terminalreporter")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.write_line(f"\n{report.nodeid}\n{report.longreprtext}", red=True)


@pytest.hookimpl(trylast=True)  # The reporter of the terminal is registered before.
def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_AtOnce(config))


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if os.environ.get("CI") and terminalreporter.stats.get("skipped"):
        terminalreporter.line("In CI nothing may be skipped: see the reasons above.", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if hasattr(session.config, "workerinput"):
        return  # One of several processes: the first one sees the skips of all.
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium: the one of this machine, or playwright's own.

    It is closed after each file of tests: an open one keeps an event loop running and processes
    alive, and others test with loops and count processes.
    """
    from playwright.sync_api import Error, sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("LARGEMODELS_CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=found, args=options)
        except Error as error:
            reason = str(error).strip().splitlines()[0]
            message = f"no Chromium ({reason}): install it, or name it in LARGEMODELS_CHROMIUM"
            pytest.fail(message, pytrace=False)
        yield chromium
        chromium.close()
