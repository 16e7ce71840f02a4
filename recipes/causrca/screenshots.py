"""Pictures of a page in a real browser: on a screen, on a phone, on paper; and how soon it is ready.

    python recipes/causrca/screenshots.py runs/causrca/confidence/report.html --out recipes/causrca

Needs ``pip install .[browser]``, Chromium and its driver on the path.
"""

import base64
import shutil
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

from selenium import webdriver

SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1280,1000")


@dataclass(frozen=True)
class Scene:
    """A picture: what is done before, what is then at its top, and the size of the screen."""

    top: str
    script: str = ""
    size: tuple[int, int] = (1280, 800)
    is_dark: bool = False


SCENES = {
    "report.png": Scene("title"),
    "report-graph.png": Scene("controls"),
    "report-evidence.png": Scene("controls", "document.querySelector('#edges tbody tr:nth-child(2)').click()"),
    "report-timeline.png": Scene("timeline-title"),
    "report-dark.png": Scene("controls", is_dark=True),
    "report-phone.png": Scene("legend", size=(390, 844)),
}
PAPER = "report.pdf"


def chromium(profile: str) -> webdriver.Chrome:
    """A browser without a window."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        sys.exit("Chromium and its driver are not on the path: apt-get install chromium chromium-driver.")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def opened(browser: webdriver.Chrome, page: Path) -> float:
    """Open a page; gives the seconds from the request until everything is shown and can be used."""
    browser.get(page.resolve().as_uri())
    return int(browser.execute_script("return document.documentElement.dataset.ready")) / 1000


def taken(browser: webdriver.Chrome, page: Path, scene: Scene) -> bytes:
    """The picture of a scene."""
    width, height = scene.size
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    wish = {"name": "prefers-color-scheme", "value": "dark" if scene.is_dark else "light"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wish]})
    opened(browser, page)
    browser.execute_script(scene.script)
    time.sleep(0.5)
    browser.execute_script(
        "document.documentElement.style.scrollBehavior = 'auto';"
        "scrollTo(0, document.getElementById(arguments[0]).getBoundingClientRect().top + scrollY - 4)",
        scene.top,
    )
    time.sleep(0.5)
    return browser.get_screenshot_as_png()


def main() -> None:
    """Measure and take the pictures."""
    parser = ArgumentParser(description="Pictures of a page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--scenes", nargs="*", default=[*SCENES, PAPER], metavar="NAME", help="only these files")
    options = parser.parse_args()
    if not options.page.is_file():
        sys.exit(f"There is no page {str(options.page)!r}. Make one with `hf-trace discover … --html`.")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = chromium(profile)
        try:
            seconds = [opened(browser, options.page) for _ in range(5)]
            for name in SCENES.keys() & options.scenes:
                (options.out / name).write_bytes(taken(browser, options.page, SCENES[name]))
            if PAPER in options.scenes:
                opened(browser, options.page)
                printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
                (options.out / PAPER).write_bytes(base64.b64decode(printed["data"]))
        finally:
            browser.quit()
    size, ready = options.page.stat().st_size / 1e6, statistics.median(seconds)
    print(f"{size:.2f} MB; ready after {ready:.2f} s (median of {len(seconds)}, most {max(seconds):.2f}).")


if __name__ == "__main__":
    main()
