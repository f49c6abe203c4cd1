"""A transcript: hear it, correct it, take it away."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.stored import stored_transcript
from tests.browser.watched import WatchedPage
from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from tests.recordings import bundled
from whisperdrop.domain.transcript import Segment, Word

_MODIFIED = "<b>Hello</b> there & Wörld --> again"


@pytest.fixture(scope="package")
def spoken_job(stack: RunningStack) -> str:
    """A job of the API with word times; the page did not upload it, so the player has to ask."""
    client = Client(stack.address, stack.api_key)
    job_id = client.submit(bundled("quick_brown_fox").media, word_timestamps=True)
    assert client.ended(job_id)["status"] == "succeeded"
    return job_id


def opened(page: WatchedPage, job_id: str) -> Locator:
    """The text of a job that has ended."""
    page.enter(f"/#/jobs/{job_id}")
    text = page.page.locator(".transcript")
    text.locator(".word").first.wait_for()
    return text


def saved(page: Page, format_name: str) -> tuple[str, str]:
    """Name and contents of a download."""
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as download:
        page.locator(f"[data-format={format_name}]").click()
    return download.value.suggested_filename, Path(download.value.path()).read_text()


def time_of(page: Page) -> Callable[[], float]:
    return lambda: float(page.get_by_role("slider", name="Position").input_value())


def test_a_word_that_is_clicked_is_heard_and_the_spoken_one_is_marked(
    page: WatchedPage, spoken_job: str, client: Client
) -> None:
    transcript = client.get(f"/v1/jobs/{spoken_job}/transcript").json()
    start = transcript["segments"][0]["words"][3]["start"]
    text = opened(page, spoken_job)
    text.locator(".word").nth(3).click()
    expect(page.page.get_by_role("button", name="Pause")).to_be_visible()
    now = time_of(page.page)
    page.page.wait_for_function(
        "start => Number(document.querySelector('.seek').value) > start + 0.2", arg=start
    )
    expect(text.locator(".spoken")).to_have_count(1)
    page.page.locator("#job-title").click()
    page.page.keyboard.press("Space")
    expect(page.page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert start <= now() < start + 5
    page.page.keyboard.press("ArrowLeft")
    assert now() == pytest.approx(max(0, start), abs=start + 0.1)
    page.page.keyboard.press("Shift+ArrowRight")
    marked = text.locator(".spoken")
    expect(marked).to_have_text(transcript["segments"][0]["words"][1]["word"].strip())
    page.assert_accessible()


def test_edits_are_in_copies_and_downloads_and_outlive_a_reload(
    page: WatchedPage, spoken_job: str
) -> None:
    text = opened(page, spoken_job)
    before = text.locator(".text").first.inner_text()
    page.page.locator("#job-title").click()
    page.page.keyboard.press("e")
    page.page.get_by_label("Text at 0 seconds").fill(_MODIFIED)
    page.assert_accessible()
    page.page.get_by_role("button", name="Done", exact=True).click()
    expect(text.locator(".text").first).to_have_text(_MODIFIED)
    page.page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.page.get_by_text("Copied.")).to_be_visible()
    assert page.page.evaluate("navigator.clipboard.readText()").startswith(_MODIFIED + "\n")

    name, plain = saved(page.page, "txt")
    assert (name, plain.splitlines()[0]) == ("quick_brown_fox.txt", _MODIFIED)
    name, srt = saved(page.page, "srt")
    assert name == "quick_brown_fox.srt"
    assert re.match(
        r"1\n00:00:0\d,\d{3} --> 00:00:\d\d,\d{3}\n<b>Hello</b> there & Wörld -> again\n", srt
    )
    _, vtt = saved(page.page, "vtt")
    assert vtt.startswith("WEBVTT\n\n")
    assert "&lt;b&gt;Hello&lt;/b&gt; there &amp; Wörld --&gt; again" in vtt
    _, original = saved(page.page, "json")
    assert _MODIFIED not in original

    page.page.reload()
    expect(text.locator(".text").first).to_have_text(_MODIFIED)
    page.page.get_by_role("button", name="Undo edits").click()
    page.page.get_by_role("dialog").get_by_role("button", name="Undo edits").click()
    expect(text.locator(".text").first).to_have_text(before)


def test_every_format_can_be_saved(page: WatchedPage, spoken_job: str, client: Client) -> None:
    opened(page, spoken_job)
    page.page.get_by_role("button", name="Download").click()
    page.assert_accessible()
    page.page.keyboard.press("Escape")
    for name in ("txt", "srt", "vtt", "tsv", "json", "verbose_json"):
        _, contents = saved(page.page, name)
        answer = client.get(f"/v1/jobs/{spoken_job}/transcript", params={"format": name})
        assert answer.status_code == 200
        assert contents == answer.text


def test_a_hostile_transcript_is_text_and_unsure_words_are_marked(
    page: WatchedPage, stack: RunningStack
) -> None:
    markup = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    words = (
        Word(word=f" {markup}", start=0, end=1, probability=0.9),
        Word(word=" perhaps", start=1, end=2, probability=0.31),
        Word(word=" {{constructor}}", start=2, end=3, probability=0.9),
    )
    text = "".join(word.word for word in words)
    segment = Segment(id=0, seek=0, start=0, end=3, text=text, words=words)
    job_id = stored_transcript(stack.store, name='"><svg onload=alert(3)>.wav', segments=(segment,))
    shown = opened(page, job_id)
    expect(shown.locator(".text")).to_have_text(f"{markup} perhaps {{{{constructor}}}}")
    expect(shown.locator(".unsure")).to_have_text("perhaps")
    expect(shown.locator(".unsure")).to_have_attribute("title", "Unsure: 31 %")
    expect(page.page.locator(".legend")).to_contain_text("The model was unsure of 1 word")
    assert page.page.locator("main img, main script, .detail svg[onload]").count() == 0
    page.assert_accessible()
    page.page.get_by_role("button", name="Edit", exact=True).click()
    expect(page.page.get_by_label("Text at 0 seconds")).to_have_value(text.strip())


def test_ten_hours_of_transcript_open_and_react(page: WatchedPage, stack: RunningStack) -> None:
    segments = tuple(
        Segment(
            id=n,
            seek=0,
            start=6.0 * n,
            end=6.0 * n + 6,
            text="".join(f" word{m}" for m in range(15)),
            words=tuple(
                Word(
                    word=f" word{m}",
                    start=6 * n + 0.4 * m,
                    end=6 * n + 0.4 * m + 0.4,
                    probability=1,
                )
                for m in range(15)
            ),
        )
        for n in range(6000)
    )
    job_id = stored_transcript(stack.store, name="ten hours.wav", segments=segments)
    text = opened(page, job_id)
    expect(text.locator(".segment")).to_have_count(6000, timeout=20_000)
    took = page.page.evaluate(
        """async () => {
          const began = performance.now();
          document.querySelectorAll('.word')[60000].scrollIntoView();
          await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
          return performance.now() - began;
        }"""
    )
    assert took < 2000


def test_edited_words_keep_the_times_of_those_that_stay(page: WatchedPage) -> None:
    page.open()
    found = page.page.evaluate(
        """async () => {
          const base = document.querySelector('script[type=module]').src;
          const { realign } = await import(new URL('editing.js', base));
          const words = ['The', 'quick', 'brown', 'fox'].map((word, n) => (
            { word: ` ${word}`, start: n, end: n + 1, probability: 0.3 }));
          return realign({ start: 0, end: 4, words }, 'The very quick red fox').map(
            ({ word, start, end, probability }) => [word, start, end, probability]);
        }"""
    )
    assert found == [
        [" The", 0, 1, 0.3],
        [" very", 1, 1, 1],
        [" quick", 1, 2, 0.3],
        [" red", 2, 3, 1],
        [" fox", 3, 4, 0.3],
    ]


def test_events_are_read_however_the_stream_is_cut(page: WatchedPage) -> None:
    page.open()
    found = page.page.evaluate(
        """async () => {
          const base = document.querySelector('script[type=module]').src;
          const { parseEvents } = await import(new URL('live.js', base));
          const text = 'retry: 1000\\n\\n: hi\\n\\nevent: segment\\nid: 1\\n'
            + 'data: {"a":\\ndata: "ü"}\\n\\n'
            + 'event: end\\r\\ndata: x\\r\\n\\r\\n';
          const bytes = new TextEncoder().encode(text);
          const results = new Set();
          for (let size = 1; size <= bytes.length; size += 1) {
            const chunks = [];
            for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
            const events = [];
            for await (const event of parseEvents(chunks)) events.push(event);
            results.add(JSON.stringify(events));
          }
          return [...results];
        }"""
    )
    assert found == [
        '[{"event":"segment","data":"{\\"a\\":\\n\\"ü\\"}","id":"1"},{"event":"end","data":"x"}]'.replace(
            "\n", "\\n"
        )
    ]
