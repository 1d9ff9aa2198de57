"""Every page of the site, in a wide and a narrow window, light and dark."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The graphics of a browser hold no taller picture; the gates look at the whole page all the same.
TALLEST = 16_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_good(page_name, width, scheme, address, visit):
    opened = visit(address, page_name, width, scheme)
    screenshots = ROOT / "build" / "screenshots"
    screenshots.mkdir(parents=True, exist_ok=True)
    name = page_name.removesuffix(".html").replace("/", "-")
    height = min(opened.page.evaluate("document.documentElement.scrollHeight"), TALLEST)
    opened.page.screenshot(
        path=screenshots / f"{name}-{width}-{scheme}.png",
        full_page=True,
        clip={"x": 0, "y": 0, "width": width, "height": height},
        timeout=120_000,  # A busy machine is no fault of the page.
    )
    assert opened.page.evaluate("document.documentElement.dataset.theme") == scheme
    assert opened.problems() == {}
