"""Every page of the site, in a wide and a narrow window, light and dark."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The graphics of a browser hold no taller picture; the gates look at the whole page all the same.
TALLEST = 16_000


# To load a page takes longest: so each window is loaded in one scheme and switched to the other.
@pytest.mark.parametrize(
    ("width", "schemes"),
    [(1280, ("light", "dark")), (390, ("dark", "light"))],
    ids=["wide", "narrow"],
)
def test_page_is_good(page_name, width, schemes, address, visit):
    opened = visit(address, page_name, width, schemes[0])
    screenshots = ROOT / "build" / "screenshots"
    screenshots.mkdir(parents=True, exist_ok=True)
    name = page_name.removesuffix(".html").replace("/", "-")
    for scheme in schemes:
        opened.switch(scheme)
        height = min(opened.page.evaluate("document.documentElement.scrollHeight"), TALLEST)
        opened.page.screenshot(
            path=screenshots / f"{name}-{width}-{scheme}.jpeg",
            quality=80,
            full_page=True,
            clip={"x": 0, "y": 0, "width": width, "height": height},
            timeout=120_000,  # A busy machine is no fault of the page.
        )
        assert opened.problems() == {}, scheme
