"""The documents: links and images lead somewhere, and the index of docs/ has every page, under its title."""

import re
from functools import cache

import pytest
from support import leaving_out
from support.repository import ROOT, tracked

PAGES = [path for path in tracked() if path.suffix == ".md"]
INDEX = ROOT / "docs/README.md"
DOCS = [path for path in PAGES if path.parent == INDEX.parent and path != INDEX]
INLINE = re.compile(r"\[(?P<text>(?:[^\[\]]|!?\[[^\]]*\]\([^)]*\))*)\]\((?P<target>[^()\s]+)\)")
TAG = re.compile(r"<(?:a|img|source)\b[^>]*?(?:href|src|srcset)=\"([^\"]+)\"")


def prose(text):
    """Return a page without its code."""
    fenced = re.sub(r"^( *)(```+|~~~+).*?^\1\2`*$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`+[^`\n]*`+", lambda span: span[0].translate({91: 40, 93: 41}), fenced)


def targets(text):
    """Yield where links and images lead, also by reference and in HTML."""
    text = prose(text)
    yield from (target for link in INLINE.finditer(text) for target in re.findall(r"\]\(([^()\s]+)\)", link[0]))
    yield from re.findall(r"^ {0,3}\[[^\]]+\]: (\S+)", text, re.MULTILINE)
    yield from TAG.findall(text)


@cache
def anchors(path):
    """Return the anchors that GitHub gives the headings of a page, and those of HTML."""
    text = path.read_text("utf-8")
    found = set(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", prose(text)))
    for heading in re.findall(
        r"^#{1,6} +(.+?)(?: +#+)?$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    ):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = base = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{base}-{number}"
        found.add(anchor)
    return found


def dead(page, target, root=ROOT):
    """Say why a link of a page is dead; return nothing if it isn't."""
    if re.match(r"(https|mailto):", target):
        return None
    if re.match(r"\w+:|/", target):
        return f"{target} is neither https nor relative"
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.is_relative_to(root) or not path.exists():
        return f"there is no {target}"
    if lines := re.fullmatch(r"L(\d+)(?:-L(\d+))?", anchor):
        length = len(path.read_text("utf-8").splitlines())
        return f"{target} is past the end" if max(int(line) for line in lines.groups() if line) > length else None
    if anchor and (path.suffix != ".md" or anchor not in anchors(path)):
        return f"there is no {target}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_of_a_page_is_dead(page):
    assert [reason for target in targets(page.read_text("utf-8")) if (reason := dead(page, target))] == []


def test_dead_links_are_found(tmp_path):
    page, other = tmp_path / "a.md", tmp_path / "b.md"
    other.write_text('# Who `may` do it?\n\n## On\n\n## On\n\n```\n# no heading\n```\n\n<a id="here"></a>\n')
    good = "[b](b.md) [b](b.md#who-may-do-it) [b](b.md#on-1) [b](b.md#here) [b](b.md#L3) ![b](b.md) [me](#title)"
    bad = "[c](c.md) [b](b.md#no-heading) [b](b.md#L30) ![c](c.png) [![b](d.png)](b.md) [me](#titles) [up](../..)"
    page.write_text(
        f'# Title\n\n{good} {bad} `[x](x.md)` [r]\n\n[r]: e.md\n\n<img src="f.png"> <a href="http://x.example">\n'
    )
    found = [reason for target in targets(page.read_text()) if (reason := dead(page, target, tmp_path))]
    assert found == [
        "there is no c.md", "there is no b.md#no-heading", "b.md#L30 is past the end", "there is no c.png",
        "there is no d.png", "there is no #titles", "there is no ../..", "there is no e.md", "there is no f.png",
        "http://x.example is neither https nor relative",
    ]  # fmt: skip


def title(page):
    return page.read_text("utf-8").partition("\n")[0].removeprefix("# ")


def test_the_index_names_every_page_by_its_title():
    named = {link["target"]: link["text"] for link in INLINE.finditer(INDEX.read_text("utf-8"))}
    assert {page.name: named.get(page.name) for page in DOCS} == {page.name: title(page) for page in DOCS}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_page_has_one_title_and_leads_back_to_the_index(page):
    text = page.read_text("utf-8")
    headings = re.findall(r"^(#+) ", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    assert headings[0] == "#"
    assert "#" not in headings[1:]
    assert text.splitlines()[2] == "[All pages](README.md)"


def test_the_readme_leads_to_the_index():
    assert "docs/README.md" in targets((ROOT / "README.md").read_text("utf-8"))


@pytest.mark.parametrize("title", leaving_out.sections())
def test_what_the_page_about_leaving_out_names_is_there(title):
    """Running it takes longer: tests/extended/test_leaving_out.py."""
    assert leaving_out.problems(leaving_out.sections()[title]) == []
