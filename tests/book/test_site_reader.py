"""What a reader does with the site: search, switch to dark, unfold answers, download."""

import io
from urllib.parse import urljoin

import nbformat
import pytest
from PIL import Image


def test_search_finds_a_word(address, visit):
    opened = visit(address, "index.html")
    opened.page.keyboard.press("Control+k")
    opened.page.keyboard.type("broadcasting")
    opened.page.keyboard.press("Enter")
    # The page shows one result after the other.
    opened.page.locator("#search-results .search li a[href*='notation.html']").first.wait_for()
    assert (opened.console, opened.failed, opened.outside) == ([], [], [])


def test_figures_and_page_switch_to_dark_together(address, visit):
    opened = visit(address, "index.html")
    figure = opened.page.locator("article figure img").first

    def colors() -> tuple[str, tuple[int, ...], tuple[int, ...]]:
        opened.page.wait_for_timeout(300)
        image = Image.open(io.BytesIO(figure.screenshot())).convert("RGB")
        page = Image.open(io.BytesIO(opened.page.screenshot())).convert("RGB")
        theme = opened.page.evaluate("document.documentElement.dataset.theme")
        return theme, image.getpixel((2, 2)), page.getpixel((640, 700))

    figure.scroll_into_view_if_needed()
    seen = {}
    for _ in range(3):  # The button goes round: light, dark, as the system says.
        theme, image, page = colors()
        # The figure brings its own background: not to be told from the page's.
        assert max(abs(a - b) for a, b in zip(image, page, strict=True)) <= 1, theme
        seen[theme] = page
        opened.page.locator("button.theme-switch-button:visible").first.click()
    assert sum(seen["light"]) > 700
    assert sum(seen["dark"]) < 120


@pytest.mark.parametrize("name", ["index.html", "appendix/diagrams.html", "math/losses.html"])
def test_a_site_opened_as_files_needs_no_server(name, site, visit):
    assert visit(f"{site.as_uri()}/", name).problems() == {}


def test_page_is_whole_without_script(page_name, site, address, visit):
    opened = visit(address, page_name, script=False)
    if page_name != "search.html":  # Only a script can search, and the page says so.
        text = opened.page.locator("main").inner_text()
        assert len(text.split()) > 10
        assert opened.page.locator("article h1, main h1").last.is_visible()
    button = opened.page.locator("a.btn-download-notebook-button")
    source = site / "_sources" / page_name.replace(".html", ".md")
    if button.count() == 0:
        assert not source.exists() or "kernelspec" not in source.read_text(encoding="utf-8")
        return
    response = opened.page.request.get(urljoin(opened.page.url, button.get_attribute("href")))
    assert response.ok
    assert_is_executed(nbformat.reads(response.text(), as_version=4))


def assert_is_executed(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"][1:]  # after the set-up
    assert code
    assert all(cell.execution_count is not None for cell in code)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "```{" not in prose
    assert ":::" not in prose


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_answers_unfold(scheme, address, visit):
    name = "algorithms/backpropagation.html"
    opened = visit(address, name, 390, scheme)
    opened.page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true })")
    opened.page.evaluate("gates.settled(10)")
    assert opened.problems() == {}


def test_an_option_stays_in_one_piece(address, visit):
    opened = visit(address, "instructors/guide.html", 390)
    code = opened.page.locator("article p code")
    broken = code.evaluate_all(
        """found => found.flatMap(one => [...one.querySelectorAll(".pre")])
            .filter(word => word.innerText.startsWith("--") && word.getClientRects().length > 1)
            .map(word => word.innerText)"""
    )
    assert code.count() > 10
    assert broken == []
