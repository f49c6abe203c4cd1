"""The key, the list, the network, and every kind of screen."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.stored import stored_endings
from tests.browser.watched import WatchedPage, watch
from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from whisperdrop.domain.job import JobStatus


def test_a_wrong_key_is_refused_and_the_right_one_stays_in_the_tab(page: WatchedPage) -> None:
    page.tolerated = ("status of 401", "status of 403")
    page.open()
    page.assert_accessible()
    page.sign_in("nobody's key")
    expect(page.page.get_by_role("alert")).to_contain_text("This key is not accepted")
    expect(page.page.get_by_label("API key")).to_be_focused()
    page.assert_accessible()
    page.sign_in()
    choose = page.page.get_by_role("button", name="Choose files")
    expect(choose).to_be_visible()
    page.page.reload()
    expect(choose).to_be_visible()
    stored = page.page.evaluate("[JSON.stringify(localStorage), document.cookie, location.href]")
    assert page.key not in "".join(stored)
    with page.page.context.expect_page() as opened:
        page.page.evaluate("window.open('/', '_blank', 'noopener')")
    other = opened.value
    expect(other.get_by_label("API key")).to_be_visible()
    other.close()
    page.page.get_by_role("button", name="Forget key").click()
    expect(page.page.get_by_label("API key")).to_be_focused()
    assert page.page.evaluate("sessionStorage.length") == 0


def test_a_key_that_is_revoked_meanwhile_is_asked_for_again(
    page: WatchedPage, stack: RunningStack
) -> None:
    page.tolerated = ("status of 401", "status of 403")
    page.enter()
    page.page.route(
        "**/v1/jobs?**",
        lambda route: route.fulfill(
            status=403, json={"detail": "this key was revoked", "code": "invalid_api_key"}
        ),
    )
    page.page.get_by_label("Search by file name").fill("x")
    expect(page.page.get_by_role("alert")).to_contain_text("not accepted any more")


def test_the_list_is_searched_filtered_paged_and_cleared(
    page: WatchedPage, stack: RunningStack, client: Client
) -> None:
    stored_endings(stack.store, 34, "lecture", JobStatus.CANCELLED)
    (broken,) = stored_endings(stack.store, 1, "Broken Lecture", JobStatus.FAILED)
    page.enter()
    search = page.page.get_by_label("Search by file name")
    rows = page.page.locator("#jobs > li")
    page.page.locator("#main").press("/")
    expect(search).to_be_focused()
    with page.page.expect_response("**/v1/jobs?*q=LECTURE*"):
        search.fill("LECTURE")
    expect(rows).to_have_count(30)
    page.page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(35)
    expect(page.page.get_by_role("button", name="Show more")).to_be_hidden()
    page.page.get_by_label("Status").select_option("Failed")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Broken Lecture 1.wav")
    page.assert_accessible()
    page.page.get_by_role("button", name="Delete Broken Lecture 1.wav").click()
    page.page.get_by_role("button", name="Keep it").click()
    expect(rows).to_have_count(1)
    page.page.get_by_role("button", name="Delete Broken Lecture 1.wav").click()
    page.assert_accessible()
    page.page.get_by_role("button", name="Delete it").click()
    expect(page.page.get_by_text("Nothing matches")).to_be_visible()
    assert client.get(f"/v1/jobs/{broken}").status_code == 404


def test_a_network_that_goes_away_is_said_and_comes_back(page: WatchedPage) -> None:
    page.tolerated = ("ERR_INTERNET_DISCONNECTED",)
    page.enter()
    page.page.context.set_offline(True)
    away = page.page.get_by_text("The server cannot be reached. Trying again")
    page.page.get_by_label("Status").select_option("Done")
    expect(away).to_be_visible()
    page.assert_accessible()
    page.page.context.set_offline(False)
    expect(away).to_be_hidden()


def test_a_transcript_that_is_not_there_is_said(page: WatchedPage) -> None:
    page.tolerated = ("status of 404",)
    page.enter(f"/#/jobs/{'0' * 25}")
    expect(page.page.get_by_role("heading", name="No such transcript")).to_be_visible()
    page.assert_accessible()


@pytest.mark.parametrize("width", [1280, 360])
def test_it_is_usable_dark_and_by_keyboard_on_every_width(
    browser: Browser, stack: RunningStack, width: int
) -> None:
    stored_endings(stack.store, 1, "a very long name of a file " * 5, JobStatus.FAILED)
    context = browser.new_context(
        viewport={"width": width, "height": 740}, color_scheme="dark", locale="en-GB"
    )
    page = watch(context.new_page(), stack.address, stack.api_key)
    page.open()
    page.assert_accessible()
    page.page.keyboard.type(page.key)  # the field has the focus
    page.page.keyboard.press("Enter")
    choose = page.page.get_by_role("button", name="Choose files")
    expect(choose).to_be_focused()
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_label("Spoken language")).to_be_visible()
    page.assert_accessible()
    page.page.keyboard.press("Enter")
    page.page.locator("#jobs a").first.focus()
    page.page.keyboard.press("Enter")
    expect(page.page.locator(".ending")).to_be_visible()
    page.assert_accessible()
    wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.page.evaluate(wider)
    page.page.keyboard.press("?")
    expect(page.page.get_by_role("dialog")).to_be_visible()
    page.assert_accessible()
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Escape")
    expect(page.page.locator("#jobs a").first).to_be_focused()
    assert not page.page.evaluate(wider)

    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.page.evaluate(ground)
    page.page.get_by_role("button", name="Dark mode").click()
    light = page.page.evaluate(ground)
    assert dark != light
    page.assert_accessible()
    page.page.reload()
    assert page.page.evaluate(ground) == light
    page.assert_no_complaints()
    context.close()
