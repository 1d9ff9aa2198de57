"""Every page of the site, in a wide and a narrow window, light and dark."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_good(page_name, width, scheme, address, visit):
    opened = visit(address, page_name, width, scheme)
    screenshots = ROOT / "build" / "screenshots"
    screenshots.mkdir(parents=True, exist_ok=True)
    name = page_name.removesuffix(".html").replace("/", "-")
    opened.page.screenshot(path=screenshots / f"{name}-{width}-{scheme}.png", full_page=True)
    assert opened.page.evaluate("document.documentElement.dataset.theme") == scheme
    assert opened.problems() == {}
