"""The files of the site: every inner link leads somewhere, nothing comes from another host."""

import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup

# Attributes that make a browser fetch something by itself.
FETCHED = {
    "script": ["src"], "link": ["href"], "img": ["src", "srcset"], "iframe": ["src"],
    "source": ["src", "srcset"], "video": ["src", "poster"], "audio": ["src"], "object": ["data"],
    "embed": ["src"], "use": ["href", "xlink:href"], "image": ["href", "xlink:href"],
}  # fmt: skip
# Links in the head that name another page without fetching it.
NOT_FETCHED = {"canonical", "alternate", "author", "license", "search", "index", "next", "prev"}


def is_outside(url: str) -> bool:
    return bool(re.match(r"\s*(https?:)?//", url))


def outside_in_html(text: str) -> list[str]:
    """Everything that this HTML would make a browser fetch from another host."""
    soup = BeautifulSoup(text, "html.parser")
    found = [
        f"<{tag.name} {attribute}={tag[attribute]}>"
        for name, attributes in FETCHED.items()
        for tag in soup.find_all(name)
        for attribute in attributes
        if tag.has_attr(attribute)
        and is_outside(tag[attribute])
        and not (name == "link" and NOT_FETCHED & set(tag.get("rel", [])))
    ]
    for tag in soup.find_all(["script", "style"]):
        found += outside_in_code(tag.get_text())
    return found


def outside_in_code(text: str) -> list[str]:
    """Everything that this CSS, or module of JavaScript, fetches from another host."""
    pattern = (
        r"""url\(\s*["']?(?:https?:)?//[^)]*|@import\s+["'](?:https?:)?//[^"']*"""
        r"""|\bfrom\s*["']https?://[^"']*|\bimport\s*\(?\s*["']https?://[^"']*"""
    )
    return re.findall(pattern, text)


def broken_links(site: Path) -> list[str]:
    """Every link between pages of the site that leads nowhere."""
    soups = {
        path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in site.rglob("*.html")
        if "_static" not in path.parts
    }
    anchors = {
        path: {tag[key] for key in ("id", "name") for tag in soup.find_all(attrs={key: True})}
        for path, soup in soups.items()
    }
    broken = []
    for path, soup in soups.items():
        here = path.relative_to(site).as_posix()
        for tag in soup.find_all(attrs={"href": True}) + soup.find_all(attrs={"src": True}):
            url = tag.get("href") or tag.get("src")
            if not url or is_outside(url) or re.match(r"(data|mailto|javascript):", url):
                continue
            parts = urlsplit(urljoin(f"/{here}", url))
            target = site / unquote(parts.path).lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append(f"{here}: {url}: no such file")
                continue
            places = anchors.get(target)
            if places is not None and unquote(parts.fragment) not in places | {""}:
                broken.append(f"{here}: {url}: no such place on that page")
    return broken


def test_inner_links_lead_somewhere(site):
    assert broken_links(site) == []


def test_page_fetches_nothing_from_another_host(page_name, site):
    assert outside_in_html((site / page_name).read_text(encoding="utf-8")) == []


def test_styles_fetch_nothing_from_another_host(site):
    found = {
        path.relative_to(site).as_posix(): outside_in_code(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.css")
    }
    assert {name: urls for name, urls in found.items() if urls} == {}


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://example.org/a.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<img src="http://example.org/a.png">',
        "<style>p { background: url('https://example.org/a.png') }</style>",
        '<style>@import "https://example.org/a.css";</style>',
        '<script type="module">import a from "https://example.org/a.mjs"</script>',
        '<script>import("https://example.org/a.mjs")</script>',
    ],
)
def test_audit_finds_what_comes_from_another_host(html):
    assert outside_in_html(html)


def test_audit_lets_ordinary_links_pass():
    assert outside_in_html('<a href="https://example.org">there</a><p>url(https://x)</p>') == []


def test_link_check_finds_broken_links(tmp_path):
    (tmp_path / "a.html").write_text('<p id="here"></p><a href="#here"></a><a href="a.html"></a>')
    assert broken_links(tmp_path) == []
    (tmp_path / "b.html").write_text('<a href="a.html#there"></a><img src="missing.png">')
    assert broken_links(tmp_path) == [
        "b.html: a.html#there: no such place on that page",
        "b.html: missing.png: no such file",
    ]
