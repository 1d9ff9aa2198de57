"""A figure that the reader moves, in a real browser: by keyboard, without script, in print."""

import io

import pytest
from PIL import Image

from largemodels import plots

PAGE = """<!doctype html>
<html lang="en"><head><title>t</title><link rel="icon" href="data:,">
<meta name="color-scheme" content="light dark"><style>
body {{ background: #fff; color: #222 }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14181e; color: #e6eaf0 }} }}
</style></head><body><article>{}</article></body></html>"""
RATES, MOMENTA = [0.01, 0.1, 1.0], [0.0, 0.9]


def draw(rate, momentum):
    fig = plots.figure(6.0, 3.0)
    axes = fig.add_subplot()
    axes.plot([0, 1], [rate, momentum])
    axes.set_ylim(-0.1, 1.1)
    return fig


def words(rate, momentum):
    return f"A line from {rate} to {momentum}."


@pytest.fixture(scope="module")
def pages(tmp_path_factory, serve):
    controls = {"learning rate": RATES, "momentum": MOMENTA}
    made = plots.slider(draw, controls, alt=words, start=(0.1, 0.0))
    folder = tmp_path_factory.mktemp("slider")
    twice = made.to_html() + made.to_html()  # As when a reader runs the cell again in JupyterLab.
    (folder / "page.html").write_text(PAGE.format(twice), encoding="utf-8")
    return serve(folder)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_slider_passes_the_gates_of_a_page(width, scheme, pages, visit):
    opened = visit(pages, "page.html", width, scheme)
    assert opened.problems() == {}
    figure = opened.page.locator("img").first
    corner = Image.open(io.BytesIO(figure.screenshot())).convert("RGB").getpixel((2, 2))
    assert (sum(corner) > 700) == (scheme == "light")


def test_keys_move_the_figure_its_words_and_what_is_said(pages, visit):
    page = visit(pages, "page.html").page
    image, other = page.locator("img").all()
    rate, momentum = page.locator("[data-slider] >> nth=0").locator("input").all()
    assert image.get_attribute("alt") == words(0.1, 0.0)
    before = image.screenshot()
    rate.focus()
    page.keyboard.press("ArrowRight")
    assert image.get_attribute("alt") == words(1.0, 0.0)
    assert rate.get_attribute("aria-valuetext") == "1"
    assert image.screenshot() != before
    momentum.focus()
    page.keyboard.press("End")
    assert image.get_attribute("alt") == words(1.0, 0.9)
    assert page.locator("output").all_inner_texts()[:2] == ["1", "0.9"]
    rate.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")  # Beyond the end nothing happens.
    assert image.get_attribute("alt") == words(0.01, 0.9)
    assert other.get_attribute("alt") == words(0.1, 0.0)  # Each copy has its own controls.


def test_every_control_has_a_name(pages, visit):
    page = visit(pages, "page.html").page
    for name in ("learning rate", "momentum"):
        assert page.get_by_label(name).count() == 2


def test_without_script_the_start_remains_as_a_picture(pages, visit):
    page = visit(pages, "page.html", script=False).page
    image = page.locator("img").first
    assert image.get_attribute("alt") == words(0.1, 0.0)
    assert image.bounding_box()["height"] > 100
    assert page.locator("input:visible").count() == 0


def test_in_print_the_choice_remains_without_its_controls(pages, visit):
    page = visit(pages, "page.html").page
    assert page.locator("input:visible").count() == 4
    page.emulate_media(media="print")
    assert page.locator("input:visible").count() == 0
    assert page.locator("img:visible").count() == 2
