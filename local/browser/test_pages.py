"""What a visitor sees and does, in a browser without JavaScript."""

import re
from pathlib import Path

import pytest

import scene as scenes


@pytest.fixture
def page(visit, session):
    return visit(storage_state=session)


def test_a_search_leads_to_an_artifact_and_its_lineage_to_the_next(page, scene):
    page.goto(scene.url)
    page.get_by_label("Search for").fill("^bert-")
    page.get_by_label("Match").select_option("regular expression")
    page.get_by_label("Type").select_option("model")
    page.get_by_role("button", name="Search").click()
    assert page.get_by_role("status").inner_text() == "5 models"
    page.get_by_role("link", name="bert-merged", exact=True).click()

    assert page.title() == "bert-merged · Holdfast registry"
    assert page.get_by_role("img", name=re.compile("Bars of the scores: Net score 0")).is_visible()
    assert page.locator("th > details > summary").count() == 12
    drawing = page.get_by_role("group", name="Arrows lead")
    assert drawing.get_by_role("link").count() == 4
    boxes = [box.bounding_box()["y"] for box in drawing.locator("rect").all()]
    assert len(boxes) == 6
    above = drawing.get_by_role("link", name="bert-base").bounding_box()["y"]
    assert above < drawing.get_by_role("link", name="bert-merged-4bit").bounding_box()["y"]
    listed = page.get_by_role("listitem").filter(has_text="(this model)")
    assert "made from bert-distilled and bert-medical" in listed.inner_text()
    assert page.get_by_role("link", name="Download").get_attribute("rel") == "noopener noreferrer"

    drawing.get_by_role("link", name="bert-base").click()
    assert page.url == scene.view("bert-base")
    assert "(not registered)" in page.get_by_role("listitem").filter(has_text="bert-original").first.inner_text()


def test_names_of_strangers_do_nothing(page, scene):
    page.goto(f"{scene.url}/?q=onerror")
    page.get_by_role("link", name=re.compile("onerror")).click()
    assert page.get_by_role("heading", level=1).inner_text() == scenes.HOSTILE
    assert page.locator("script, img, iframe, object, embed").count() == 0
    # What stands behind the name stays in its order.
    assert page.title().endswith(" · Holdfast registry") or "…" in page.title()


def test_files_come_from_s3(page, scene):
    page.goto(scene.view("corpus"))
    with page.expect_download() as started:
        page.get_by_role("link", name="parts/a <b>.txt").click()
    assert started.value.url.startswith(f"{scene.s3}/registry/artifacts/{scene.ids['corpus']}/files/")
    assert started.value.suggested_filename == "a _b_.txt"  # what is on the disk, by the browser's own rules
    assert Path(started.value.path()).read_bytes() == scenes.FILE
    with page.expect_download() as started:
        page.get_by_role("link", name="Download", exact=True).click()
    assert started.value.suggested_filename == "corpus.zip"


def test_results_are_paged(page, scene):
    page.goto(f"{scene.url}/?q=sample")
    assert page.get_by_role("status").inner_text() == f"1 to 50 of {scenes.MORE} artifacts"
    page.get_by_role("link", name="Next page").click()
    assert page.get_by_role("status").inner_text() == f"51 to {scenes.MORE} of {scenes.MORE} artifacts"
    page.get_by_role("link", name="First page").click()
    assert page.get_by_role("row").count() == 51


def test_a_mistake_is_told_beside_the_field(page, scene):
    page.goto(f"{scene.url}/?q=(&by=regex")
    field = page.get_by_label("Search for")
    assert field.get_attribute("aria-invalid") == "true"
    told = page.locator(f"#{field.get_attribute('aria-describedby')}")
    assert told.inner_text() == "The regular expression is not valid: unclosed group."


def test_the_history_tells_who_looked(page, scene):
    page.goto(scene.view("bert-medical"))
    page.get_by_role("link", name="History").click()
    page.reload()
    assert page.get_by_role("row").filter(has_text="Registered it").count() == 1
    assert page.get_by_role("row").filter(has_text="Looked at its rating").count() >= 1
    assert page.get_by_role("row").filter(has_text="Looked at its history").count() >= 1
    page.get_by_role("link", name="Back to").click()
    assert page.url == scene.view("bert-medical")


def test_strangers_see_the_status_and_are_led_back_after_their_login(visit, scene):
    page = visit()
    page.goto(f"{scene.url}/status")
    assert {"Storage", "API"} <= set(page.get_by_role("heading", level=2).all_inner_texts())
    page.goto(f"{scene.view('corpus')}/history")
    assert page.get_by_role("heading", level=1).inner_text() == "Log in"
    assert "corpus" not in page.content()
    page.get_by_label("Name").fill(scenes.ADMIN)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    assert page.get_by_role("alert").inner_text() == "The name or the password is wrong."
    assert page.get_by_label("Name").input_value() == scenes.ADMIN
    assert page.get_by_label("Password").input_value() == ""
    page.get_by_label("Password").fill(scenes.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    assert page.url == f"{scene.view('corpus')}/history"


def test_no_script_sees_the_cookie_and_the_api_does_not_take_it(visit, scene, session):
    page = visit(storage_state=session, java_script_enabled=True)
    page.goto(scene.url)
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert page.evaluate("document.cookie") == ""
    answer = page.context.request.get(f"{scene.url}/artifacts/dataset/{scene.ids['corpus']}")
    assert answer.status == 403


def test_after_logging_out_nothing_is_shown(visit, scene, session):
    page = visit(storage_state=session)
    page.goto(scene.view("corpus"))
    page.get_by_role("button", name="Log out").click()
    assert page.context.cookies() == []
    page.go_back()
    assert page.get_by_role("heading", level=1).inner_text() == "Log in"


def elsewhere(page, markup: str):
    """A page of another site."""
    page.route("http://elsewhere.example/", lambda route: route.fulfill(content_type="text/html", body=markup))
    page.goto("http://elsewhere.example/")


def test_a_link_from_another_site_finds_the_session_with_one_click(page, scene):
    elsewhere(page, f'<a href="{scene.view("corpus")}">a dataset</a>')
    page.get_by_role("link", name="a dataset").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Log in"
    page.get_by_role("link", name="go on to the page").click()
    assert page.get_by_role("heading", level=1).inner_text() == "corpus"


def test_another_site_can_neither_send_our_forms_nor_show_our_pages(page, scene):
    elsewhere(page, f'<form method="post" action="{scene.url}/logout"><button>Win</button></form>')
    page.get_by_role("button", name="Win").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Forbidden"
    page.goto(scene.url)
    assert page.get_by_role("heading", level=1).inner_text() == "Artifacts"


def test_no_page_is_shown_inside_another_ones(chromium, scene):
    # Not by `visit`: the browser complains, as it should.
    page = chromium.new_context().new_page()
    told = []
    page.on("console", lambda message: told.append(message.text))
    elsewhere(page, f'<iframe src="{scene.url}/login"></iframe>')
    page.wait_for_timeout(300)
    assert page.frame_locator("iframe").get_by_label("Name").count() == 0
    assert any("frame-ancestors" in text for text in told)
    page.context.close()
