"""Fixtures: one registry and one Chromium for all tests, and a visitor for each, who must see nothing go wrong."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, sync_playwright

import scene as scenes
from scene import Scene

# Where tools/machine.sh looks too.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_OF_MACOS = (
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
)


@pytest.fixture(scope="session")
def scene() -> Iterator[Scene]:
    with scenes.scene() as started:
        yield started


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's browser: none is downloaded."""
    # Else it refuses frames of this machine by itself, whatever our pages say of it.
    arguments = ["--disable-features=LocalNetworkAccessChecks"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # which Chromium does not have for root; these pages are our own
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=arguments)
        yield browser
        browser.close()


def executable() -> str:
    found = [path for path in map(shutil.which, CHROMIUM) if path]
    found += [str(path) for path in CHROMIUM_OF_MACOS if path.exists()]
    if not found:
        pytest.exit(f"no browser: none of {', '.join(CHROMIUM)} is on the PATH", returncode=1)
    return found[0]


@pytest.fixture(scope="session")
def session(scene: Scene, chromium: Browser) -> StorageState:
    """The cookie of somebody who has logged in."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(scene.url)
    page.get_by_label("Name").fill(scenes.ADMIN)
    page.get_by_label("Password").fill(scenes.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Artifacts").wait_for()
    state = context.storage_state()
    context.close()
    return state


Visit = Callable[..., Page]


@pytest.fixture
def visit(scene: Scene, chromium: Browser) -> Iterator[Visit]:
    """Opens an empty page, with the settings of a browser context, and no JavaScript unless they say so.

    At the end, no page may have asked another host for anything, and the browser may not have complained about one:
    not of a script, of a style, or of anything else that our policy refuses.
    """
    contexts: list[BrowserContext] = []
    asked: list[str] = []
    complaints: list[str] = []

    def complained(message):
        # Chromium reports every page with such a status, and these are meant.
        if message.type in ("error", "warning") and "the server responded with a status of" not in message.text:
            complaints.append(message.text)

    def open_page(**settings) -> Page:
        context = chromium.new_context(**{"java_script_enabled": False, **settings})
        contexts.append(context)
        context.set_default_timeout(10_000)
        context.on("request", lambda request: asked.append(request.url))
        context.on("console", complained)
        context.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
    own = {urlsplit(url).netloc for url in (scene.url, scene.s3)}
    assert {urlsplit(url).netloc for url in asked} <= own | {"elsewhere.example"}
