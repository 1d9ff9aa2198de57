"""Figures that the reader moves."""

import html
import json
import re

import pytest

from largemodels import plots
from largemodels.plots import interactive


def draw(slope, shift=0.0):
    fig = plots.figure(2.0, 1.5)
    fig.add_subplot().plot([0, 1], [shift, slope + shift])
    return fig


def words(slope, shift=0.0):
    return f"A line of slope {slope} that begins at {shift}."


def frames_in(text: str) -> list[list[str]]:
    found = re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def test_every_choice_has_its_frame_in_order():
    made = plots.slider(draw, {"slope": [1, 2, 3], "shift": [0.0, -0.5]}, alt=words)
    assert [frame.alt for frame in made.frames] == [
        words(slope, shift) for slope in (1, 2, 3) for shift in (0.0, -0.5)
    ]
    assert len({frame.svg for frame in made.frames}) == 6
    assert made.controls == {"slope": ["1", "2", "3"], "shift": ["0", "−0.5"]}


def test_html_holds_all_frames_and_shows_the_start():
    made = plots.slider(draw, {"slope": [1, 2, 3], "shift": [0.0, 0.5]}, alt=words, start=(2, 0.5))
    text = made.to_html()
    assert frames_in(text) == [[frame.svg, frame.alt] for frame in made.frames]
    assert f'alt="{words(2, 0.5)}"' in text
    values = re.findall(r'value="(\d)" aria-valuetext="([^"]+)"', text)
    assert values == [("1", "2"), ("1", "0.5")]
    assert text.count("<img") == 1  # Without a script one still picture remains.
    assert '<div class="controls" hidden>' in text
    assert "http" not in re.sub(r'xmlns(:xlink)?=\\?"[^"]+"', "", text).replace("base64", "")


def test_words_and_labels_cannot_break_out_of_the_html():
    bad = '"></script><!--<script>'
    made = plots.slider(draw, {bad: [1, 2]}, alt=lambda slope: bad)
    text = made.to_html()
    assert f"<span>{html.escape(bad)}</span>" in text
    assert text.count("</script>") == 2
    assert "<!--" not in text
    assert frames_in(text)[0][1] == bad


def test_a_notebook_gets_html_a_still_picture_and_words():
    made = plots.slider(draw, {"slope": [1, 2]}, alt=words, start=(2,))
    bundle = made._repr_mimebundle_()
    assert bundle["image/svg+xml"] == made.frames[1].svg
    assert bundle["text/plain"] == words(2)
    assert bundle["text/html"] == made.to_html()


def test_the_same_figure_gives_the_same_bytes():
    first, second = (plots.slider(draw, {"slope": [1, 2]}, alt=words).to_html() for _ in range(2))
    assert first == second


def test_frames_follow_the_color_scheme_and_are_smaller_than_the_figure():
    (frame, _) = plots.slider(draw, {"slope": [1, 2]}, alt=words).frames
    assert "prefers-color-scheme: dark" in frame.svg
    assert len(frame.svg) < len(plots.to_svg(draw(1)))
    assert "scale(0.015625" in plots.to_svg(draw(1))
    assert re.findall(r"scale\([^)]*\)", frame.svg) == re.findall(
        r"scale\([^)]*\)", plots.to_svg(draw(1))
    )


@pytest.mark.parametrize(
    ("controls", "start", "message"),
    [
        ({}, None, "one or two labels"),
        ({"a": [1, 2], "b": [1, 2], "c": [1, 2]}, None, "one or two labels"),
        ({"slope": [1]}, None, "two values or more"),
        ({"slope": list(range(40)), "shift": [0, 1]}, None, "80 frames; 64"),
        ({"slope": [1, 2]}, (3,), r"`start` \(=\(3,\)\)"),
        ({"slope": [1, 2]}, 1 * [1, 2], "one value of each"),
    ],
)
def test_what_cannot_be_chosen_is_refused(controls, start, message):
    with pytest.raises(ValueError, match=message):
        plots.slider(draw, controls, alt=words, start=start)


def test_what_a_telephone_cannot_carry_is_refused(monkeypatch):
    monkeypatch.setattr(interactive, "MOST_CHARACTERS", 10_000)
    with pytest.raises(ValueError, match=r"more than\s+10,000: draw fewer"):
        plots.slider(draw, {"slope": [1, 2]}, alt=words)
