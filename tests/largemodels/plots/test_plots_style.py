"""One look, two color schemes: the SVG of a figure, and how a notebook shows it."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure

from largemodels import plots
from largemodels.plots import style


@pytest.fixture(autouse=True)
def settings():
    """Put matplotlib's settings back after each test."""
    with matplotlib.rc_context():
        yield


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_series_color_stands_out_from_its_background(scheme):
    background = getattr(style.BACKGROUND, scheme)
    for name, color in plots.PALETTE.items():
        assert contrast(getattr(color, scheme), background) >= 3, name
    for text in (style.FOREGROUND, style.MUTED):
        assert contrast(getattr(text, scheme), background) >= 4.5


def test_no_two_colors_of_the_style_are_equal_in_the_light():
    colors = (style.BACKGROUND, style.FOREGROUND, style.MUTED, style.GRID, *plots.PALETTE.values())
    assert len({color.light for color in colors}) == len(colors)


def drawing() -> Figure:
    fig = plots.figure(3, 2)
    axes = fig.add_subplot()
    axes.plot([1, 2], [3, 4], color=plots.PALETTE["green"].light, label="a line")
    axes.set_xlabel("steps")
    axes.legend()
    return fig


def test_svg_holds_light_colors_and_the_rules_for_dark_ones():
    plots.use_style()
    svg = plots.to_svg(drawing())
    root = ElementTree.fromstring(svg)
    assert root.get("class") == "largemodels-figure"
    dark = re.search(r"@media \(prefers-color-scheme: dark\)\{(.*?)</style>", svg)[1]
    green = plots.PALETTE["green"]
    assert f'[stroke="{green.light}"]{{stroke:{green.dark}}}' in dark
    assert f'stroke="{green.light}"' in svg.replace(dark, "")
    assert f'[fill="{style.BACKGROUND.light}"]{{fill:{style.BACKGROUND.dark}}}' in dark
    # A style attribute would win over every rule: no color of the style may be left in one.
    for light in style._SWITCHED:
        assert not re.search(rf'style="[^"]*(?:fill|stroke): {light}', svg), light


def test_a_marker_gets_its_colors_where_it_is_used():
    plots.use_style()
    fig = plots.figure(3, 2)
    fig.add_subplot().plot(
        [1, 2], [3, 4], "o", color=plots.PALETTE["blue"].light, markerfacecolor="none"
    )
    shapes = re.findall(r'<path id="[^>]*>', plots.to_svg(fig))
    # No rule for a dark page reaches the shape itself, which browsers copy.
    assert shapes
    assert not [shape for shape in shapes if "fill=" in shape or "stroke=" in shape]
    assert re.search(r'<use [^>]*stroke="#0072b2"', plots.to_svg(fig))


def test_svg_keeps_what_its_parts_refer_to():
    svg = plots.to_svg(drawing())
    referred = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    named = re.findall(r'\sid="([^"]+)"', svg)
    assert referred
    assert referred == set(named)
    assert len(named) == len(set(named))


def test_two_figures_share_no_identifiers():
    first, second = plots.to_svg(drawing()), plots.to_svg(plots.image_grid([[[0, 1]]]))
    named = [set(re.findall(r'\sid="([^"]+)"', svg)) for svg in (first, second)]
    assert not named[0] & named[1]


def test_the_same_code_gives_the_same_svg_in_another_process():
    code = (
        "from largemodels import plots; plots.use_style();"
        "print(plots.to_svg(plots.learning_curves({'loss': [3, 2, 1], 'accuracy': [0, .5, 1]})))"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    assert b"<dc:date>" not in runs.pop()


def test_pixels_stay_pixels():
    svg = plots.to_svg(plots.image_grid([[[0, 1], [1, 0]]]))
    assert "image-rendering:pixelated" in svg


def test_use_style_gives_own_figures_the_look():
    plots.use_style()
    assert matplotlib.rcParams["figure.facecolor"] == style.BACKGROUND.light
    assert matplotlib.rcParams["svg.fonttype"] == "path"


@pytest.mark.parametrize("backend_first", [True, False])
def test_a_notebook_shows_svg_once_whenever_pyplot_is_imported(backend_first):
    nbformat = pytest.importorskip("nbformat")
    from nbclient import NotebookClient

    lines = ["import matplotlib.pyplot as plt", "from largemodels import plots; plots.use_style()"]
    setup = "\n".join(lines if backend_first else reversed(lines))
    cells = [
        setup,
        "plots.learning_curves({'loss': [2, 1]})",
        "plt.subplots()[1].plot([1, 2]);",
        "%matplotlib inline\nplt.subplots()[1].plot([1, 2]);",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3").execute()
    for cell in notebook.cells[1:]:
        assert [set(output.data) - {"text/plain"} for output in cell.outputs] == [{"image/svg+xml"}]
        assert "prefers-color-scheme" in cell.outputs[0].data["image/svg+xml"]
