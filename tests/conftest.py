"""One rule for all tests: a skip is visible everywhere, and in CI it is a failure."""

import os

import pytest


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if os.environ.get("CI") and terminalreporter.stats.get("skipped"):
        terminalreporter.line("In CI nothing may be skipped: see the reasons above.", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
