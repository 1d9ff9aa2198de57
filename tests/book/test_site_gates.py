"""Each gate is shown a page that must not pass it."""

import pytest

GOOD = """<!doctype html>
<html lang="en"><head><title>t</title><link rel="icon" href="data:,"></head>
<body style="background:#fff;color:#222"><article>{}</article></body></html>"""

BROKEN = {
    "console": "<script>console.error('broken')</script>",
    "failed requests": '<img src="missing.png" alt="An image that is missing here">',
    "requests to other hosts": '<script src="https://example.org/script.js"></script>',
    "math": '<span class="math">\\(x^2\\)</span>',
    "diagrams": '<pre class="mermaid">flowchart TD</pre>',
    "width": '<div style="width:2000px">wide</div>',
    "words": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="">',
    "contrast": '<p style="color:#999">gray on white</p>',
}
ALSO_BROKEN = {
    "width": '<div style="width:100px;overflow:hidden"><div style="width:500px">cut</div></div>',
    "words": '<button><svg width="9" height="9"></svg></button>',
    "diagrams": '<pre class="mermaid"><svg aria-roledescription="flowchart-v2"></svg></pre>',
    "math": '<span class="math"><mjx-container><mjx-merror>?</mjx-merror></mjx-container></span>',
}

# Gray on black is readable, dark gray is not; the colors take their time to change.
BAD_IN_THE_DARK = """<style>p { color: #767676; transition: color 0.5s }
  [data-theme=dark] p { color: #333; background: #000 }</style><p>Some text.</p><script>
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => { document.documentElement.dataset.theme = dark.matches ? "dark" : "light" };
  dark.onchange = follow;
  follow();</script>"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory, serve):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "good.html").write_text(GOOD.format("<p>Good text.</p>"))
    (folder / "dark.html").write_text(GOOD.format(BAD_IN_THE_DARK))
    for name, gates in (("broken", BROKEN), ("also", ALSO_BROKEN)):
        for gate, body in gates.items():
            (folder / f"{name}-{gate}.html").write_text(GOOD.format(body))
    return serve(folder)


def test_a_good_page_passes(pages, visit):
    assert visit(pages, "good.html", patience=0.2).problems() == {}


@pytest.mark.parametrize("gate", BROKEN)
def test_a_broken_page_fails_at_its_gate(gate, pages, visit):
    assert gate in visit(pages, f"broken-{gate}.html", patience=0.2).problems()


@pytest.mark.parametrize("gate", ALSO_BROKEN)
def test_a_page_broken_in_another_way_fails_at_its_gate(gate, pages, visit):
    assert gate in visit(pages, f"also-{gate}.html", patience=0.2).problems()


def test_a_page_that_is_broken_in_the_dark_fails_after_the_switch(pages, visit):
    opened = visit(pages, "dark.html")
    assert opened.problems() == {}
    opened.switch("dark")
    assert opened.problems().keys() == {"contrast"}
    opened.switch("light")
    assert opened.problems() == {}
