"""Who stands before the app: bounds every request, and lets nobody ask for a file."""

from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from hf_trace.app.bounds import Bounds

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Served = Callable[[Message, Receive, Send], Awaitable[None]]
_API = "/gradio_api"
# What Gradio serves beside pages, and this app never needs: files of the machine, other hosts, answers past the queue,
# figures about users, tools of developers.
_CLOSED = (
    *(f"{_API}/{name}" for name in ("file", "proxy", "stream", "vibe", "run", "api/", "dev", "deep_link", "process_")),
    *(f"{_API}/profiling", "/monitoring", "/svelte", "/file", "/proxy"),
)
# Open as long as a page or a question is; they cost little.
_LASTING = (f"{_API}/heartbeat", f"{_API}/queue/data", f"{_API}/call/")
_MORE_LASTING = 10
# What a request holds beside a log: the borders of its parts, and JSON, which writes a sign in up to six.
_AROUND, _AS_JSON = 100_000, 2


class _TooLargeError(Exception):
    """A body went on beyond its bound."""


class Doorman:
    """An ASGI middleware.

    Requests whose body is too large are answered 413, those for files and other hosts 403, and 503 those that come
    while as many as are taken are being answered.

    Args:
        app: What is served.
        bounds: How much is taken.
    """

    def __init__(self, app: Served, bounds: Bounds) -> None:
        self._app = app
        self._most_bytes, self._most = _AS_JSON * bounds.bytes + _AROUND, bounds.requests
        self._inside = Counter[bool]()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif is_closed(scope["path"]):
            await _refuse(send, 403, "This app serves no files and asks no other hosts.")
        elif _told_length(scope) > self._most_bytes:
            await _refuse(send, 413, f"Up to {self._most_bytes:,} bytes are taken in one request.")
        elif self._inside[lasts := scope["path"].startswith(_LASTING)] >= self._most * (_MORE_LASTING**lasts):
            await _refuse(send, 503, "As much is asked as is taken at once. Ask again in a minute.")
        else:
            self._inside[lasts] += 1
            try:
                await self._let_in(scope, receive, send)
            finally:
                self._inside[lasts] -= 1

    async def _let_in(self, scope: Message, receive: Receive, send: Send) -> None:
        read, begun = 0, False

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most_bytes:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLargeError:
            if not begun:
                await _refuse(send, 413, f"Up to {self._most_bytes:,} bytes are taken in one request.")


def is_closed(path: str) -> bool:
    """Whether nobody is let in there.

    Example:
        >>> is_closed("/gradio_api/file=/etc/passwd"), is_closed("/gradio_api/upload"), is_closed("/")
        (True, False, False)
    """
    return f"/{path.lstrip('/')}".startswith(_CLOSED)


def _told_length(scope: Message) -> int:
    told = dict(scope["headers"]).get(b"content-length", b"0")
    return int(told) if told.isdigit() else 0


async def _refuse(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
