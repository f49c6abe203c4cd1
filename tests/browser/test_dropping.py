"""Files that are dropped: their way to the bucket, and the text that comes back meanwhile."""

import base64
import re
import wave
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.watched import WatchedPage
from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from tests.recordings import bundled, english_recording
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.clock import utc_now

HOSTILE = "<img src=x onerror=alert(1)>\u202e&amp;.mp3"
SLOW_BYTES_PER_S = 1_000_000
WAITS_MS = 90_000
LONG_S = 150  # long enough to be seen while it is transcribed, however fast the machine


def slow_uploads(page: Page, bytes_per_s: int) -> None:
    """So that a progress bar has something to show."""
    session = page.context.new_cdp_session(page)
    session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": bytes_per_s,
        },
    )


def test_three_files_at_once_one_of_them_hostile(page: WatchedPage, tmp_path: Path) -> None:
    meeting = english_recording(tmp_path / "meeting.wav", LONG_S)
    hostile = tmp_path / HOSTILE
    hostile.write_bytes(b"ffconcat version 1.0\nfile meeting.wav\n")
    dialogs: list[Dialog] = []

    def heard(dialog: Dialog) -> None:
        dialogs.append(dialog)
        dialog.dismiss()

    page.page.on("dialog", heard)
    page.enter()
    slow_uploads(page.page, SLOW_BYTES_PER_S)

    page.page.set_input_files("#files", [meeting, hostile, bundled("hello_world").media])

    page.page.wait_for_function(
        "() => { const bar = document.querySelector('#uploads progress');"
        " return bar && bar.value > 0 && bar.value < bar.max; }"
    )
    page.assert_accessible()
    title = page.page.get_by_role("heading", name="meeting.wav")  # the first one opens by itself
    expect(title).to_be_visible()

    # Text is there while the job still runs.
    log = page.page.get_by_role("log", name="Transcript")
    log.locator(".word").first.wait_for(timeout=WAITS_MS)
    cancel = page.page.locator(".detail").get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    shown_early = log.inner_text()
    page.assert_accessible()

    facts = page.page.locator(".detail .facts")
    expect(facts).to_contain_text("Done", timeout=WAITS_MS)
    final = page.page.locator(".transcript")
    expect(final).to_contain_text("quick brown fox", timeout=WAITS_MS)
    assert words(shown_early)[:8] == words(final.inner_text())[:8]

    expect(page.row("hello_world.wav")).to_contain_text("Done", timeout=WAITS_MS)
    expect(page.row(HOSTILE)).to_contain_text("Failed")
    page.row(HOSTILE).get_by_role("link").click()
    expect(page.page.locator("#job-title")).to_have_text(HOSTILE)
    expect(page.page.locator(".ending")).to_contain_text("not audio that can be decoded")
    page.assert_accessible()
    assert not dialogs
    assert page.page.locator("main img").count() == 0


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def test_what_cannot_be_taken_is_refused_with_the_reason(
    page: WatchedPage, stack: RunningStack, tmp_path: Path
) -> None:
    small = ApiKeys(stack.store, environment_key=None, clock=utc_now).issue(
        "default", "small", max_upload_bytes=10_000
    )
    page.tolerated = ("status of 400", "status of 413")
    page.enter(key=small)
    notes = tmp_path / "notes.txt"
    notes.write_text("no audio")
    empty = tmp_path / "empty.wav"
    empty.touch()
    page.page.set_input_files("#files", [notes, empty, bundled("counting").media])

    def refused(name: str) -> Any:
        return expect(page.page.locator("#uploads > li").filter(has_text=name))

    refused("notes.txt").to_contain_text("notes.txt")
    refused("notes.txt").to_contain_text(re.compile("file type|accepted|mp3", re.IGNORECASE))
    refused("empty.wav").to_contain_text("The file is empty.")
    refused("counting.wav").to_contain_text("uploads are limited to 10,000 bytes", ignore_case=True)
    expect(page.page.get_by_role("button", name="Try again")).to_have_count(0)
    page.assert_accessible()
    page.page.get_by_role("button", name="Remove notes.txt").click()
    refused("notes.txt").to_have_count(0)


_ASK_FOR_PARTS = """
const fetched = window.fetch;
window.fetch = (address, options = {}) => {
  if (options.method === "POST" && String(address).endsWith("/v1/jobs")) {
    options.body = JSON.stringify({ ...JSON.parse(options.body), upload: "multipart" });
  }
  return fetched(address, options);
};
"""


def test_an_upload_in_parts_goes_on_where_another_page_left_it(
    page: WatchedPage, client: Client, tmp_path: Path
) -> None:
    media = tmp_path / "long silence.wav"
    silence(media, 69_000_000)  # a part of 64 MiB and a small one
    page.page.add_init_script(_ASK_FOR_PARTS)  # a file of over 100 MB would do without
    page.page.on("dialog", lambda dialog: dialog.accept())  # leave although it uploads
    page.enter()
    slow_uploads(page.page, 8_000_000)
    with page.page.expect_response(lambda answer: "partNumber=2" in answer.url):
        page.page.set_input_files("#files", media)
    job_id = page.page.url.rpartition("/")[2]

    page.page.reload()
    state = client.get(f"/v1/jobs/{job_id}/upload").json()
    assert [part["number"] for part in state["uploaded"]] == [2]
    slow_uploads(page.page, -1)
    sent: list[str] = []
    page.page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    page.page.get_by_label("Choose the file to resume").set_input_files(media)
    expect(page.page.locator(".detail .facts")).to_contain_text("Done", timeout=WAITS_MS)
    expect(page.page.get_by_text("No speech was found")).to_be_visible()
    (part,) = [line for line in sent if line.startswith("PUT")]
    assert "partNumber=1" in part
    assert client.job(job_id)["usage"]["audio_s"] == pytest.approx(69_000_000 / 192_000, abs=0.1)


def silence(path: Path, size: int) -> None:
    """A WAV of about ``size`` bytes: 48 kHz, stereo, 16 bits, nothing to hear."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(size - size % 4))


def test_a_dropped_file_is_followed_by_asking_again_where_streams_do_not_pass(
    page: WatchedPage,
) -> None:
    page.tolerated = ("status of 404",)
    page.page.route(
        "**/events",
        lambda route: route.fulfill(
            status=404, json={"detail": "no such route", "code": "not_found"}
        ),
    )
    page.enter()
    drop(page.page, bundled("counting").media)
    expect(page.page.locator(".detail .facts")).to_contain_text("Done", timeout=WAITS_MS)
    expect(page.page.locator(".transcript .word").first).to_be_visible()


def drop(page: Page, media: Path) -> None:
    """As from a folder's window, on the page's heading: anywhere will do."""
    arguments = [media.name, base64.b64encode(media.read_bytes()).decode()]
    data = page.evaluate_handle(
        """([name, text]) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
          return data;
        }""",
        arguments,
    )
    for event in ("dragenter", "dragover"):
        page.dispatch_event("h1", event, {"dataTransfer": data})
    expect(page.get_by_text("Drop to transcribe")).to_be_visible()
    page.dispatch_event("h1", "drop", {"dataTransfer": data})
    expect(page.get_by_text("Drop to transcribe")).to_be_hidden()


def test_a_running_job_is_cancelled_when_that_is_meant(page: WatchedPage, tmp_path: Path) -> None:
    media = english_recording(tmp_path / "to be stopped.wav", 400)
    page.enter()
    page.page.set_input_files("#files", media)
    detail = page.page.locator(".detail")
    detail.get_by_role("button", name="Cancel").click()
    page.page.get_by_role("button", name="Go on").click()
    expect(detail.locator(".chip")).not_to_contain_text("Stopping")
    detail.get_by_role("button", name="Cancel").click()
    page.assert_accessible()
    page.page.get_by_role("button", name="Cancel it").click()
    expect(detail.locator(".chip")).to_contain_text("Cancelled", timeout=WAITS_MS)
    expect(detail).to_contain_text("There is no transcript")
