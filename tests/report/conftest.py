"""A real browser for pages: `pip install .[browser]`, Chromium and its driver on the path."""

import json
import shutil
import time

import pytest

SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser of its own; skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs the client: pip install .[browser]")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=1280,800"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    made.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "deny"})
    yield made
    made.quit()


@pytest.fixture
def opened(browser):
    """Open a page that was written; afterwards nothing was complained about and nothing loaded from elsewhere."""

    def show(path):
        browser.get(path.as_uri())
        # What would be downloaded is kept for the test.
        browser.execute_script(
            "window.saved = []; const plain = URL.createObjectURL;"
            "URL.createObjectURL = (blob) => { saved.push(blob); return plain.call(URL, blob); };"
        )
        return Page(browser)

    browser.get_log("browser"), browser.get_log("performance")
    yield show
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if url.startswith(("http", "ws"))] == []


@pytest.fixture
def shown(opened, tmp_path):
    """Open the page of a document."""

    def show(made):
        from hf_trace.report.page import write_page

        write_page(tmp_path / "report.html", made)
        return opened(tmp_path / "report.html")

    return show


class Page:
    """What a reader does with a page."""

    def __init__(self, browser):
        self.browser = browser

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def wait(self, script, *arguments):
        until = time.monotonic() + 10
        while not (found := self.run(script, *arguments)):
            assert time.monotonic() < until, script
            time.sleep(0.05)
        return found

    def set(self, field, value):
        kind = "input" if field in ("search", "slider", "arcs") else "change"
        self.run(
            "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
            "field.dispatchEvent(new Event(arguments[2], {bubbles: true}))",
            field,
            value,
            kind,
        )
        time.sleep(0.25)

    def text(self, field):
        return self.run("return document.getElementById(arguments[0]).textContent", field)

    def rows(self):
        return self.run(
            "return Array.from(document.querySelectorAll('#edges tbody tr'),"
            "(row) => Array.from(row.cells, (cell) => cell.textContent))"
        )

    def click(self, css):
        self.run("document.querySelector(arguments[0]).click()", css)
        time.sleep(0.15)

    def saved(self, button):
        self.run("saved.length = 0")
        self.click(f"#export-{button}")
        return self.browser.execute_async_script("saved[0].text().then(arguments[0])")

    def click_at(self, x, y):
        """A real pointer on the canvas, pixels from its upper left corner."""
        box = self.run(
            "const c = document.getElementById('graph'); c.scrollIntoView({block: 'center'});"
            "const b = c.getBoundingClientRect(); return [b.left, b.top]"
        )
        time.sleep(0.1)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            event = {"type": kind, "x": box[0] + x, "y": box[1] + y, "button": "left", "clickCount": 1}
            self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)
        time.sleep(0.2)

    def lines(self):
        """Edges of the exported picture: number and middle of the curve."""
        return self.run(
            "const svg = new DOMParser().parseFromString(arguments[0], 'image/svg+xml').documentElement;"
            "document.body.append(svg);"
            "const found = Array.from(svg.querySelectorAll('g[data-edge]'), (group) => {"
            "  const path = group.querySelector('path'), spot = path.getPointAtLength(path.getTotalLength() / 2);"
            "  return [Number(group.dataset.edge), spot.x, spot.y]; });"
            "svg.remove(); return found",
            self.saved("svg"),
        )
