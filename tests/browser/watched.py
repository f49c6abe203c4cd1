"""A page that remembers what it complained about."""

from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Locator, Page

_SEVERE = {"serious", "critical"}

# Collected in the page itself, before its own scripts run: a policy's report names no console.
_WATCH_POLICY = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  const { violatedDirective, blockedURI, sourceFile } = event;
  window.violations.push(`${violatedDirective}: ${blockedURI} ${sourceFile ?? ""}`);
});
"""


@dataclass
class WatchedPage:
    """The page, its address and key, and its complaints so far."""

    page: Page
    address: str
    key: str
    complaints: list[str] = field(default_factory=list)
    tolerated: tuple[str, ...] = ()
    """Parts of console messages that a test provokes: browsers log every refused request."""

    def open(self, path: str = "/") -> None:
        self.page.goto(self.address + path)

    def sign_in(self, key: str | None = None) -> None:
        self.page.get_by_label("API key").fill(key or self.key)
        self.page.get_by_role("button", name="Continue").click()

    def enter(self, path: str = "/", key: str | None = None) -> None:
        """Open it, and give it ``key`` or the right one; when this returns it was accepted."""
        self.open(path)
        self.sign_in(key)
        self.page.get_by_role("button", name="Choose files").wait_for()

    def row(self, name: str) -> Locator:
        """The list's row of a job."""
        return self.page.locator("#jobs > li").filter(has_text=name)

    def assert_accessible(self) -> None:
        """axe-core finds nothing serious on what is shown."""
        found = Axe().run(self.page).response["violations"]
        severe = [
            f"{problem['id']}: {node['html'][:200]} {node['failureSummary']}"
            for problem in found
            if problem["impact"] in _SEVERE
            for node in problem["nodes"]
        ]
        assert not severe, "\n".join(severe)

    def assert_no_complaints(self) -> None:
        violations = self.page.evaluate("window.violations ?? []")
        complaints = [
            text for text in self.complaints if not any(part in text for part in self.tolerated)
        ]
        assert not violations
        assert not complaints

    def heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} {message.location}")


def watch(page: Page, address: str, key: str) -> WatchedPage:
    """``page`` with ears."""
    watched = WatchedPage(page, address, key)
    page.add_init_script(_WATCH_POLICY)
    page.on("console", watched.heard)
    page.on("pageerror", lambda error: watched.complaints.append(f"uncaught: {error}"))
    return watched
