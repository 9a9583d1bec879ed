"""WCAG 2.1 AA, as far as programs can tell: axe on every page, reflow, text spacing, and the keyboard alone."""

from importlib.resources import files

import pytest

import scene as scenes

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
# Best practices are no part of the standard, and followed all the same.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
NARROW = {"width": 320, "height": 640}
WIDE = {"width": 1280, "height": 900}

# What the standard lets users set (1.4.12).
SPACING = """
* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }
p { margin-bottom: 2em !important; }
"""


def pages(scene) -> list[str]:
    """Every kind of page, for somebody who is logged in."""
    return [
        scene.url,
        f"{scene.url}/?q=sample&type=dataset&after=50",
        f"{scene.url}/?q=nothing+has+this",
        f"{scene.url}/?q=(&by=regex",
        scene.view("bert-merged"),
        scene.view("corpus"),
        scene.view("bert"),
        scene.view(scenes.HOSTILE),
        scene.view(scenes.LONG),
        f"{scene.view('bert-merged')}/history",
        f"{scene.url}/status",
        f"{scene.url}/nowhere",
    ]


def refused(page, scene):
    """The login after a wrong password."""
    page.goto(f"{scene.url}/login?to=view/1")
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").wait_for()


def unfold(page):
    """Opens what is folded, so that it is looked at too."""
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def violations(page) -> list[str]:
    page.evaluate(AXE)
    result = page.evaluate("tags => axe.run({ runOnly: tags })", TAGS)
    assert result["passes"]
    return [
        f"{page.url}: {violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize(("colors", "viewport"), [("light", WIDE), ("dark", NARROW)], ids=["light", "dark"])
def test_axe_finds_nothing_wrong_with_any_page(visit, scene, session, colors, viewport):
    settings = {"color_scheme": colors, "viewport": viewport, "java_script_enabled": True}
    found = []
    page = visit(**settings, storage_state=session)
    for url in pages(scene):
        page.goto(url)
        unfold(page)
        found += violations(page)
    stranger = visit(**settings)
    stranger.goto(f"{scene.url}/login")
    found += violations(stranger)
    refused(stranger, scene)
    found += violations(stranger)
    assert not found


@pytest.mark.parametrize("spacing", ["", SPACING], ids=["as-it-is", "with-spacing"])
def test_at_320_pixels_nothing_is_scrolled_sideways(visit, scene, session, spacing):
    # That is 1280 pixels at 400 %. The policy would refuse the style that a user's extension may set.
    page = visit(viewport=NARROW, storage_state=session, java_script_enabled=True, bypass_csp=True)
    wide = []
    for url in pages(scene):
        page.goto(url)
        unfold(page)
        if spacing:
            page.add_style_tag(content=spacing)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 320:
            wide.append((url, width))
    stranger = visit(viewport=NARROW, java_script_enabled=True)
    refused(stranger, scene)
    assert stranger.evaluate("document.documentElement.scrollWidth") <= 320
    assert not wide


def test_everything_can_be_done_with_the_keyboard(visit, scene):
    page = visit()
    press = page.keyboard.press
    page.goto(scene.url)
    press("Tab")
    assert focused(page) == "Skip to the content"
    press("Enter")
    assert page.url.endswith("#main")
    press("Tab")
    page.keyboard.type(scenes.ADMIN)
    press("Tab")
    page.keyboard.type(scenes.PASSWORD)
    press("Enter")
    page.get_by_role("heading", name="Artifacts").wait_for()

    press("Tab")
    press("Enter")
    press("Tab")
    page.keyboard.type("merged")
    press("Tab")
    press("Tab")
    page.keyboard.type("model")
    press("Tab")
    assert focused(page) == "Search"
    press("Enter")
    page.get_by_text("2 models").wait_for()

    tab_to(page, "bert-merged")
    press("Enter")
    page.get_by_role("heading", name="bert-merged").wait_for()
    tab_to(page, "Licence")
    assert not page.get_by_text("suitability for a product").is_visible()
    press("Enter")
    assert page.get_by_text("suitability for a product").is_visible()
    tab_to(page, "bert-distilled")
    press("Enter")
    page.get_by_role("heading", name="bert-distilled").wait_for()
    tab_to(page, "Log out")
    press("Enter")
    page.get_by_role("heading", name="Log in").wait_for()


def test_whatever_has_the_focus_shows_it(visit, scene, session):
    page = visit(storage_state=session)
    for url in (scene.url, scene.view("bert-merged"), f"{scene.url}/status"):
        page.goto(url)
        seen = set()
        while True:
            page.keyboard.press("Tab")
            place, name, marks = page.evaluate(
                """() => {
                    const one = document.activeElement;
                    const style = getComputedStyle(one.ownerSVGElement ? one.querySelector("rect") : one);
                    const marks = parseFloat(one.ownerSVGElement ? style.strokeWidth : style.outlineWidth);
                    const isMarked = one.ownerSVGElement || style.outlineStyle === "solid";
                    const all = [...document.querySelectorAll("*")];
                    return [all.indexOf(one), one.textContent, isMarked ? marks : 0];
                }"""
            )
            if name == page.evaluate("document.body.textContent") or place in seen:
                break
            seen.add(place)
            assert marks >= 3, name
        # The links of the page were among them.
        assert len(seen) >= 4


def test_who_wants_no_motion_gets_none(visit, scene):
    for wish, behavior in (("reduce", "auto"), ("no-preference", "smooth")):
        page = visit(reduced_motion=wish)
        page.goto(f"{scene.url}/login")
        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == behavior


def focused(page) -> str:
    return page.evaluate("document.activeElement.textContent")


def tab_to(page, name: str):
    for _ in range(100):
        page.keyboard.press("Tab")
        # What is only scrolled has the text of all that is in it.
        if focused(page).startswith(name) and page.locator(":focus:not([tabindex])").count():
            return
    raise AssertionError(f"the keyboard does not lead to {name}")
