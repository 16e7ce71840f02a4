"""Pictures of a page in a real browser: its graph, the evidence of an edge, one incident; and how soon it is ready.

    python recipes/causrca/screenshots.py runs/causrca/confidence/report.html --out recipes/causrca

Needs ``pip install .[browser]``, Chromium and its driver on the path.
"""

import shutil
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from selenium import webdriver

SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1280,1000")
# What is done before each picture, and what is then at its top.
SCENES = {
    "report-graph.png": ("", "controls"),
    "report-timeline.png": ("", "timeline-title"),
    "report-evidence.png": ("document.querySelector('#edges tbody tr:nth-child(2)').click()", "controls"),
}


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


def main() -> None:
    """Measure and take the pictures."""
    parser = ArgumentParser(description="Pictures of a page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    if not options.page.is_file():
        sys.exit(f"There is no page {str(options.page)!r}. Make one with `hf-trace discover … --html`.")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = chromium(profile)
        try:
            seconds = [opened(browser, options.page) for _ in range(5)]
            for name, (script, top) in SCENES.items():
                browser.execute_script(script)
                time.sleep(0.5)
                browser.execute_script(
                    "document.documentElement.style.scrollBehavior = 'auto';"
                    "scrollTo(0, document.getElementById(arguments[0]).getBoundingClientRect().top + scrollY - 4)",
                    top,
                )
                time.sleep(0.5)
                browser.save_screenshot(str(options.out / name))
        finally:
            browser.quit()
    size, ready = options.page.stat().st_size / 1e6, statistics.median(seconds)
    print(f"{size:.2f} MB; ready after {ready:.2f} s (median of {len(seconds)}, most {max(seconds):.2f}).")


if __name__ == "__main__":
    main()
