"""Gates and the doorman: how many are let in, and where nobody is."""

import asyncio
import threading
import time

import pytest

from hf_trace.app.bounds import Bounds, Gate
from hf_trace.app.doorman import Doorman, is_closed
from hf_trace.errors import BusyError, SettingsError


def test_a_thousand_at_a_gate_for_four_are_answered_one_at_a_time_or_sent_away():
    gate, inside, most, answered, refused = Gate(3), [], [], [], []
    ready = threading.Barrier(50)

    def ask():
        ready.wait()
        for _ in range(20):
            try:
                with gate.passed():
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0.0005)
                    inside.pop()
                    answered.append(1)
            except BusyError:
                refused.append(1)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(answered) + len(refused) == 1000
    assert answered
    assert refused
    with gate.passed():  # no place was lost
        pass


def test_a_place_is_free_again_after_a_mistake():
    gate = Gate(1)
    for _ in range(5):
        with pytest.raises(ValueError, match="mine"), gate.passed():
            raise ValueError("mine")


def test_bounds_are_whole_numbers():
    with pytest.raises(SettingsError, match="events is 0, expected a whole number of at least 1"):
        Bounds(events=0)


BOUNDS = Bounds(bytes=1_000, requests=2)


def answers(path="/", *, parts=(), headers=(), app=None, doorman=None):
    """Status and text of a request whose body comes in parts."""
    sent, waiting = [], [{"type": "http.request", "body": part, "more_body": True} for part in parts]

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": list(headers)}
    asyncio.run((doorman or Doorman(app or read_all, BOUNDS))(scope, receive, send))
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:]).decode()


async def read_all(scope, receive, send):
    read = 0
    while (message := await receive())["body"]:
        read += len(message["body"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(read).encode()})


def test_a_body_within_its_bound_is_read():
    assert answers(parts=[b"x" * 1_000] * 2) == (200, "2000")


def test_a_body_beyond_its_bound_is_refused_whatever_it_says_of_itself():
    told = [(b"content-length", b"1000000000000")]
    assert answers(headers=told)[0] == 413
    assert answers(parts=[b"x" * 1_000] * 103)[0] == 413  # twice 1,000 and 100,000 around it
    assert answers(parts=[b"x" * 1_000] * 103, headers=[(b"content-length", b"5")])[0] == 413
    assert answers(headers=[(b"content-length", b"-1")]) == (200, "0")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd", "//gradio_api/file=/x",
        "/file=/etc/passwd", "/file/etc/passwd", "/gradio_api/proxy=http://10.0.0.1/",
        "/gradio_api/stream/1", "/gradio_api/vibe-edit/",
        "/gradio_api/deep_link", "/monitoring", "/gradio_api/run/what_if", "/gradio_api/run-history/records",
        "/gradio_api/api/what_if", "/gradio_api/process_recording",
    ],
)  # fmt: skip
def test_nobody_is_let_in_there(path):
    assert is_closed(path)
    assert answers(path) == (403, "This app serves no files and asks no other hosts.")


@pytest.mark.parametrize("path", ["/", "/gradio_api/mcp/", "/gradio_api/upload", "/gradio_api/queue/join", "/config"])
def test_everybody_is_let_in_there(path):
    assert answers(path)[0] == 200


def test_more_than_are_taken_at_once_are_sent_away_and_pages_that_stay_open_do_not_count():
    async def crowd():
        begin = asyncio.Event()

        async def waits(scope, receive, send):
            await begin.wait()
            await read_all(scope, receive, send)

        doorman, statuses = Doorman(waits, BOUNDS), []

        async def ask(path):
            async def receive():
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message):
                statuses.extend([(path, message["status"])] if "status" in message else [])

            await doorman({"type": "http", "path": path, "headers": []}, receive, send)

        paths = [*["/gradio_api/heartbeat/x"] * 5, *["/"] * 10]
        asked = [asyncio.ensure_future(ask(path)) for path in paths]
        await asyncio.sleep(0)
        begin.set()
        await asyncio.gather(*asked)
        return statuses

    statuses = asyncio.run(crowd())
    assert statuses.count(("/gradio_api/heartbeat/x", 200)) == 5
    assert statuses.count(("/", 200)) == 2
    assert statuses.count(("/", 503)) == 8


def test_what_is_no_request_passes():
    passed = []

    async def app(scope, receive, send):
        passed.append(scope["type"])

    asyncio.run(Doorman(app, BOUNDS)({"type": "lifespan"}, None, None))
    assert passed == ["lifespan"]
