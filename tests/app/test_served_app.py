"""The app as it is served, by `hf-trace app` in a process of its own: agents, a browser, and people who mean no good.

Needs Gradio (`pip install '.[app]'`), which holds other packages back: skipped without it.
"""

import asyncio
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
from tests.app.conftest import units

pytest.importorskip("gradio", reason="needs the app: pip install '.[app]'")
httpx = pytest.importorskip("httpx")
CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "alarms"
HOSTILE = ('<img src=x onerror="window.top.hacked=1">', "</script><script>window.top.hacked=1</script>${hacked=1}")
TOOLS = ["summarise_log", "graph_with_evidence", "rank_incident", "what_if", "compare_with_counting"]
pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Served:
    """An app in a process of its own."""

    def __init__(self, folder):
        self.port, self.log = free_port(), folder / "app.log"
        self.address = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "hf_trace", "app", CHECKPOINT, "--port", str(self.port), "--max-bytes", "2MB"]
        surroundings = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "GRADIO_TEMP_DIR": str(folder / "sent"),
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=surroundings, cwd=folder)
        until = time.monotonic() + 180
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.5)

    def answers(self):
        try:
            return httpx.get(self.address, timeout=60).status_code == 200
        except httpx.TransportError:
            return False

    def memory(self):
        return psutil.Process(self.process.pid).memory_info().rss

    def end(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    app = Served(tmp_path_factory.mktemp("app"))
    yield app
    app.end()


def asked(served, *questions):
    """Whether each was refused, and the text of the answer, as an agent gets it."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def ask():
        address = f"{served.address}/gradio_api/mcp/"
        async with streamable_http_client(address) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            if not questions:
                return (await session.list_tools()).tools
            found = []
            for name, arguments in questions:
                answer = await session.call_tool(name, arguments, read_timeout_seconds=timedelta(seconds=300))
                found.append((bool(answer.isError), "".join(part.text for part in answer.content)))
            return found

    return asyncio.run(ask())


def test_only_this_machine_is_let_in(served):
    (connection,) = [
        each for each in psutil.Process(served.process.pid).net_connections("inet") if each.status == "LISTEN"
    ]
    assert connection.laddr == ("127.0.0.1", served.port)


def test_agents_are_told_of_five_tools_with_all_their_words(served):
    tools = asked(served)
    assert [each.name for each in tools] == TOOLS
    for each in tools:
        assert "baseline" in each.description
        properties = each.inputSchema["properties"]
        assert all(value.get("description", "").endswith(".") for value in properties.values()), properties
        assert properties["log"]["description"].startswith("The text of the log itself")
    required = {each.name: each.inputSchema.get("required", []) for each in tools}
    assert required == {
        "summarise_log": [], "graph_with_evidence": [], "rank_incident": ["outcome"], "what_if": ["event", "target"],
        "compare_with_counting": [],
    }  # fmt: skip


def test_every_tool_answers_with_evidence_and_baseline(served):
    log = {"log": units()}
    answers = asked(
        served,
        ("summarise_log", log),
        ("graph_with_evidence", {**log, "most_edges": 3}),
        ("rank_incident", {**log, "outcome": "alarm", "sequence": "unit 3"}),
        ("what_if", {**log, "event": "leak", "target": "alarm", "within": "5s"}),
        ("compare_with_counting", log),
    )
    for refused, text in answers:
        assert not refused, text
        assert list(json.loads(text)) == ["answer", "evidence", "baseline"]
    strongest = json.loads(answers[1][1])["answer"]["strongest"][0]
    assert (strongest["cause"], strongest["effect"]) == ("leak", "alarm")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("summarise_log", {"log": "/etc/passwd"}, "no path and no address is opened here"),
        ("summarise_log", {"log": f"file://{CHECKPOINT}/config.json"}, "no path and no address is opened here"),
        ("summarise_log", {"log": "http://127.0.0.1/log.csv"}, "no path and no address is opened here"),
        ("graph_with_evidence", {"most_edges": 0}, "most_edges is 0, expected a whole number from 1 to 50."),
        ("graph_with_evidence", {"question": "why"}, "question is 'why', expected one of: drives, follows, auto."),
        ("rank_incident", {"outcome": "a", "log": "a b\na b"}, "Nothing precedes 'a' in any sequence"),
        ("what_if", {"event": "x", "target": "a", "log": "a b\na b"}, "No event of the log is called 'x'."),
    ],
)
def test_what_is_refused_is_one_line_without_a_path(served, name, arguments, message):
    ((refused, text),) = asked(served, (name, arguments))
    assert refused
    assert message in text
    assert "Traceback" not in text
    assert str(CHECKPOINT.parent) not in text.replace(arguments.get("log", ""), "")
    assert "/tmp" not in text


def uploaded(served, name, data):
    return httpx.post(f"{served.address}/gradio_api/upload", files={"files": (name, data)}, timeout=60)


def of_page(served, file=None, text=""):
    """What the page gets when a log is looked at, by the way that a page goes, with a file named in its own words."""
    config = httpx.get(f"{served.address}/config").json()
    upload = next(each["id"] for each in config["components"] if each["type"] == "file")
    number = next(each["id"] for each in config["dependencies"] if each["inputs"][:1] == [upload])
    session = f"s{random.random()}"
    sent = {"data": [file, text, None, "", ""], "fn_index": number, "session_hash": session}
    joined = httpx.post(f"{served.address}/gradio_api/queue/join", json=sent, timeout=60)
    if joined.status_code != 200:
        return joined.text
    with httpx.stream("GET", f"{served.address}/gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        for line in stream.iter_lines():
            if '"process_completed"' in line:
                return line
    return ""


def test_a_file_is_sent_and_looked_at(served):
    (path,) = uploaded(served, "units.csv", units().encode()).json()
    found = of_page(served, {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "units.csv"})
    assert '"success":true' in found
    assert "40 sequences, 240 events, 5 types" in found


@pytest.mark.parametrize("place", ["/etc/passwd", "/proc/self/environ", str(CHECKPOINT / "config.json"), "../x.csv"])
def test_files_of_the_machine_are_not_read(served, place):
    found = of_page(served, {"path": place, "meta": {"_type": "gradio.FileData"}, "orig_name": "a.csv"})
    assert '"success":false' in found
    assert "root:" not in found
    assert "LlamaForCausalLM" not in found
    for way in (f"/gradio_api/file={place}", f"/file={place}", f"/gradio_api/file/{place}"):
        assert httpx.get(served.address + way).status_code in (403, 404)


def test_other_addresses_are_not_asked(served):
    hits = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    other = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{other.server_port}/log.csv"
    for file in ({"path": place}, {"path": "a.csv", "url": place}, {"path": f"file://{CHECKPOINT}/config.json"}):
        found = of_page(served, {**file, "meta": {"_type": "gradio.FileData"}, "orig_name": "log.csv"})
        assert '"success":true' not in found
    assert httpx.get(f"{served.address}/gradio_api/proxy={place}").status_code == 403
    other.shutdown()
    other.server_close()
    assert hits == []


def test_ten_megabytes_of_noise_leave_nothing_behind(served):
    before, noise = served.memory(), random.Random(0).randbytes(10_000_000)
    assert uploaded(served, "noise.csv", noise).status_code == 413
    assert httpx.post(f"{served.address}/gradio_api/queue/join", content=noise, timeout=60).status_code == 413
    assert httpx.post(f"{served.address}/gradio_api/mcp/", content=noise, timeout=60).status_code == 413
    (path,) = uploaded(served, "noise.csv", noise[:1_000_000]).json()
    found = of_page(served, {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "noise.csv"})
    assert '"success":false' in found
    assert str(served.log.parent) not in found
    assert served.answers()
    assert served.memory() < before + 300_000_000


@pytest.mark.slow  # 40 s
def test_a_thousand_requests_at_a_time_are_answered_or_sent_away(served):
    before = served.memory()
    call = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "summarise_log", "arguments": {"log": units()}},
    }  # fmt: skip
    headers = {"accept": "application/json, text/event-stream"}

    def ask(number):
        with httpx.Client(timeout=120) as client:
            try:
                if number % 2:
                    return client.get(served.address).status_code
                answer = client.post(f"{served.address}/gradio_api/mcp/", json=call, headers=headers)
                busy = "as many as are taken" in answer.text
                return "busy" if busy else "answered" if '"isError":false' in answer.text else answer.status_code
            except httpx.TransportError as error:
                return type(error).__name__

    with ThreadPoolExecutor(200) as crowd:
        found = list(crowd.map(ask, range(1000)))
    counts = {each: found.count(each) for each in set(found)}
    assert set(counts) <= {200, 503, "answered", "busy"}, counts
    assert counts.get("answered", 0) > 0
    assert served.answers()
    assert served.process.poll() is None
    assert served.memory() < before + 500_000_000
    print(counts, f"{(served.memory() - before) / 1e6:.0f} MB more")


def test_nothing_of_the_machine_is_in_what_everybody_gets(served):
    told = "".join(httpx.get(served.address + way).text for way in ("/", "/config", "/gradio_api/info", "/theme.css"))
    for secret in (str(CHECKPOINT.parent), str(served.log.parent), str(Path.home()), os.environ.get("USER") or "/root"):
        if len(secret) > 4:
            assert secret not in told
    assert not re.search(r'"(/root|/tmp|/home)', told)


@pytest.fixture
def page(browser, served):
    """The page in a browser; afterwards nothing was complained about, and nothing was loaded from elsewhere."""
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(served.address)
    yield Page(browser)
    assert [each for each in browser.get_log("browser") if each["level"] == "SEVERE"] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if url.startswith(("http", "ws")) and not url.startswith(served.address)] == []


class Page:
    """What a person does with the page."""

    def __init__(self, browser):
        self.browser = browser

    def wait(self, script, *arguments, seconds=60):
        until = time.monotonic() + seconds
        while not (found := self.browser.execute_script(script, *arguments)):
            assert time.monotonic() < until, self.text()
            time.sleep(0.2)
        return found

    def text(self):
        return self.browser.execute_script("return document.body.innerText")

    def says(self, text):
        self.wait("return document.body.innerText.includes(arguments[0])", text)

    def press(self, name):
        buttons = "Array.from(document.querySelectorAll('button'))"  # tabs have hidden twins before them
        button = self.wait(f"return {buttons}.filter((each) => each.innerText.trim() === arguments[0]).pop()", name)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", button)

    def send(self, path):
        (field, *_) = self.browser.find_elements("css selector", "input[type=file]")
        field.send_keys(str(path))
        self.says(path.stem)

    def choose(self, label, value):
        field = self.wait("return document.querySelector(`input[aria-label='${arguments[0]}']`)", label)
        field.click()
        options = "Array.from(document.querySelectorAll('[role=option]'))"
        option = self.wait(f"return {options}.find((o) => o.innerText.includes(arguments[0]))", value)
        press = "arguments[0].dispatchEvent(new MouseEvent('mousedown', {bubbles: true}))"
        self.browser.execute_script(press, option)
        time.sleep(0.5)

    def framed(self, script):
        self.wait("return document.querySelector('iframe.report')")
        self.browser.switch_to.frame(self.browser.find_element("css selector", "iframe.report"))
        try:
            return self.wait(script)
        finally:
            self.browser.switch_to.default_content()


def test_a_person_sends_a_log_and_asks_it(page, tmp_path):
    (tmp_path / "units.csv").write_text(units())
    page.wait("return document.querySelector('input[type=file]')")
    page.send(tmp_path / "units.csv")
    page.press("Look at it")
    page.says("40 sequences, 240 events, 5 types")
    page.press("Find what causes what")
    assert page.framed("return document.querySelector('h1').innerText").startswith("units.csv: what ")
    assert page.framed("return document.body.innerText.includes('leak → alarm')")
    page.press("Beside counting")
    page.says("Nats per held-out event")
    page.press("Root causes")
    page.choose("Outcome to explain", "alarm")
    page.press("Rank what led to it")
    page.says("Counting alone would say: leak")
    page.press("What if")
    page.choose("Event that is changed", "leak")
    page.choose("How likely is then", "alarm")
    page.press("What if?")
    page.says("'alarm' follows within 3 events with a probability of")  # half of what its model reads
    page.says("it follows 100.0% of 40 such events")


HOSTILE = ('<img src=x onerror="window.top.hacked=1">', "</script><script>window.top.hacked=1</script>${hacked=1}")


def test_names_of_events_and_files_do_nothing_in_a_page(page, tmp_path):
    path = tmp_path / "${hacked=1} {{hacked=1}}.csv"
    path.write_text(units((HOSTILE[0].replace('"', "'"), HOSTILE[1])))
    page.wait("return document.querySelector('input[type=file]')")
    page.send(path)
    page.press("Find what causes what")
    assert "<img src=x" in page.framed("return document.body.innerText")
    for tab in ("In words", "Beside counting", "Root causes", "What if", "The log"):
        page.press(tab)
        time.sleep(0.5)
    page.press("Root causes")
    page.choose("Outcome to explain", "script")
    page.press("Rank what led to it")
    page.says("Counting alone would say")
    for where in ("hacked", "top.hacked"):
        assert page.browser.execute_script(f"return typeof window.{where}") == "undefined"
    assert page.framed("return typeof window.hacked") == "undefined"
    assert page.browser.execute_script("return document.querySelectorAll('img[src=x]').length") == 0


def test_what_is_wrong_is_shown_in_one_line(page):
    page.press("Find what causes what")
    page.says("Nothing was sent, expected a log.")
