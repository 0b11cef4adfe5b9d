"""Each check of the rendered book notices a fault of its kind, planted into a copy of a page.

The same page without the fault passes, so that it is the fault that is noticed.
"""

import os
import re

import pytest
import test_pages
import test_pages_axe
import test_pages_http
from browser import HTML, served

PICTURE = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
WORDS = "word " * 200


def at_the_end(text):
    """Plants a piece of a page below its text."""
    return lambda page: page.replace("</article>", f"{text}</article>", 1)


def everywhere(pattern, text):
    return lambda page: re.sub(pattern, text, page)


FROM_DISK = {
    "a foreign URL": (
        test_pages.test_no_request_to_another_host,
        at_the_end('<img src="https://example.invalid/a.png" alt="A picture">'),
    ),
    "an error in a script": (
        test_pages.test_no_error_on_the_console,
        at_the_end("<script>throw new Error('planted')</script>"),
    ),
    "an undefined command": (
        test_pages.test_mathematics_is_rendered,
        at_the_end(r'<div class="math notranslate nohighlight">\[\planted{x}\]</div>'),
    ),
    "a formula that nobody renders": (
        test_pages.test_mathematics_is_rendered,
        at_the_end('<span class="math notranslate nohighlight">x^2</span>'),
    ),
    "a wide table": (
        test_pages.test_nothing_overflows,
        at_the_end(f'<table><tr><td style="white-space: nowrap">{WORDS}</td></tr></table>'),
    ),
    "a warning": (
        test_pages.test_no_warning_and_no_raw_directive_is_shown,
        at_the_end('<div class="output stderr">UserWarning: planted</div>'),
    ),
    "a raw directive": (
        test_pages.test_no_warning_and_no_raw_directive_is_shown,
        at_the_end("<p>:::{note}</p>"),
    ),
    "a picture without a text": (
        test_pages.test_figures_have_a_text,
        at_the_end(f'<img src="{PICTURE}">'),
    ),
    "a link to no page": (
        test_pages.test_links_resolve,
        at_the_end('<a href="planted.html">there</a>'),
    ),
    "a link to no place of a page": (
        test_pages.test_links_resolve,
        at_the_end('<a href="#planted">there</a>'),
    ),
    "an icon that is not drawn": (
        test_pages.test_every_icon_is_drawn,
        at_the_end('<i class="fa-solid fa-planted"></i>'),
    ),
}
PLAYERS = {
    "a slider that does nothing": (
        test_pages.test_sliders_follow_the_keyboard,
        everywhere(r"range\.oninput", "range.planted"),
    ),
    "a button that does nothing": (
        test_pages.test_play_plays_and_starts_paused,
        everywhere(r"button\.onclick", "button.planted"),
    ),
    "a figure that starts by itself": (
        test_pages.test_play_plays_and_starts_paused,
        everywhere(
            r"(\s)rest\(\);(\s+)draw\(\);(\s+root)", r"\1setInterval(step, 80);\2draw();\3"
        ),
    ),
    "motion for those who asked for none": (
        test_pages.test_reduced_motion_is_honoured,
        everywhere(r"calm\.matches", "false"),
    ),
}
OVER_HTTP = {
    "a foreign URL": (
        test_pages_http.test_no_request_to_another_host,
        at_the_end('<img src="https://example.invalid/a.png" alt="A picture">'),
    ),
    "a missing file": (
        test_pages_http.test_no_error_and_no_missing_file,
        at_the_end('<img src="planted.png" alt="A picture">'),
    ),
    "the icon script": (
        test_pages_http.test_the_icon_font_is_not_loaded,
        at_the_end('<script src="../_static/scripts/fontawesome.js"></script>'),
    ),
}


def original(name):
    return (HTML / name).read_text("utf-8")


def each(faults):
    return pytest.mark.parametrize(("check", "plant"), faults.values(), ids=faults.keys())


@pytest.fixture
def page(tmp_path):
    """Returns a function that writes a changed page among its neighbours: its path and text."""

    def write(name, plant):
        for folder in (HTML, HTML / "book"):
            (tmp_path / folder.relative_to(HTML)).mkdir(exist_ok=True)
            for file in folder.iterdir():
                if file != HTML / "book":
                    (tmp_path / file.relative_to(HTML)).symlink_to(file)
        path, text = tmp_path / name, plant(original(name))
        path.unlink()
        path.write_text(text, "utf-8")
        return path, text

    return write


@pytest.fixture(scope="module")
def context():
    with test_pages.without_network() as context:
        yield context


def notices(check, *given):
    """Says whether a check fails."""
    try:
        check(*given)
    except AssertionError:
        return True
    except KeyError as error:  # it found no fault, and then asks for a page that was not opened
        assert str(HTML) in str(error)
    return False


@each(FROM_DISK)
def test_a_fault_on_a_page_is_noticed(context, page, check, plant):
    path, text = page("book/notation.html", plant)
    assert text != original("book/notation.html")
    assert notices(check, {path: test_pages.visit(context, path)})


def test_a_page_without_a_fault_passes(context, page):
    path, _ = page("book/notation.html", lambda text: text)
    seen = {path: test_pages.visit(context, path)}
    assert [name for name, (check, _) in FROM_DISK.items() if notices(check, seen)] == []


@pytest.mark.parametrize(
    "plant",
    [
        lambda text: text,
        at_the_end('<a href="#equation-eq-planted">(1)</a>'),
        lambda text: re.sub(r'(href="#equation-eq-[\w-]+">)\(\d+\)', r"\1(99)", text, count=1),
    ],
    ids=["none", "a reference to no equation", "a wrong number"],
)
def test_a_fault_of_a_reference_is_noticed(context, page, plant):
    other_pages = everywhere(r'href="[\w.-]+\.html#equation-[^"]+"', "")
    path, text = page("book/03-ddpm.html", lambda text: plant(other_pages(text)))
    seen = {path: test_pages.visit(context, path)}
    noticed = notices(test_pages.test_references_show_the_number_of_their_equation, seen)
    assert noticed == (text != other_pages(original("book/03-ddpm.html")))


@each(PLAYERS)
def test_a_fault_of_a_player_is_noticed(context, page, check, plant):
    path, text = page("book/03-ddpm.html", plant)
    assert text != original("book/03-ddpm.html")
    assert notices(check, context, {path: test_pages.Page({"players": 1}, [])})


def test_a_foreign_url_in_a_source_is_noticed(page):
    path, _ = page("book/notation.html", lambda text: text)
    assert test_pages.loads_from_another_host(path) == []
    for load in (
        '<script src="//a.example/b.js">',
        "<p style='background: url(https://a.example)'>",
    ):
        path.write_text(load)
        assert len(test_pages.loads_from_another_host(path)) == 1


@each(OVER_HTTP)
def test_a_fault_over_http_is_noticed(context, page, tmp_path, check, plant):
    path, _ = page("book/notation.html", plant)
    with served(tmp_path) as address:
        seen = {path: test_pages_http.visit(context.browser, address, "book/notation.html")}
    assert notices(check, seen)


def test_a_heavy_page_is_noticed(context, page, tmp_path):
    heavy = at_the_end('<script src="heavy.js"></script>')
    path, _ = page("book/notation.html", heavy)
    sizes = []
    for size in (0, 1000 * test_pages_http.BAR):
        (tmp_path / "book/heavy.js").write_text(f"// {os.urandom(size).hex()}\n")
        with served(tmp_path) as address:
            found = test_pages_http.visit(context.browser, address, "book/notation.html")
        sizes.append(bool(test_pages_http.heavy({path: found})))
    assert sizes == [False, True]


def test_a_control_without_a_name_is_noticed(context, page):
    check, noticed = test_pages_axe.test_axe_finds_nothing_of_ours, []
    path, text = page("book/notation.html", lambda text: text)
    for plant in (lambda text: text, at_the_end('<input type="text">')):
        path.write_text(plant(text), "utf-8")
        found = test_pages_axe.look_at(context.browser, path, [(1280, "light")])
        noticed.append(notices(check, {path: found}))
    assert noticed == [False, True]


def test_text_that_is_faint_in_the_dark_is_noticed(context, page):
    faint = "<style>[data-theme=dark] .faint { color: #333 }</style><p class='faint'>Hello</p>"
    path, _ = page("book/notation.html", at_the_end(faint))
    looks = test_pages_axe.look_at(context.browser, path, [(1280, "light"), (1280, "dark")])
    found = [where for (rule, *_), where in looks.items() if rule == "color-contrast"]
    assert found == [["1280 dark"]]


def test_an_exception_that_no_page_needs_is_noticed():
    assert notices(
        test_pages_axe.test_the_list_of_what_the_theme_gets_wrong_is_no_longer_than_it_must_be,
        {HTML: {}},
    )
