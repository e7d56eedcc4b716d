"""The clients: raw requests over plain sockets, which use little CPU, because they share the cores with the servers."""

import html
import itertools
import re
import socket
import threading
import time
from contextlib import suppress
from http.cookies import SimpleCookie
from typing import NamedTuple
from urllib.parse import urlencode

PATIENCE = 60  # seconds
TOKEN = re.compile(r'name="(csrf_token|csrfmiddlewaretoken)"[^>]* value="([^"]+)"')


class Answer(NamedTuple):
    status: int
    head: str
    body: bytes
    seconds: float

    @property
    def cookies(self):
        lines = re.findall(r"(?im)^set-cookie: *(.*?)\r?$", self.head)
        return {name: morsel.value for line in lines for name, morsel in SimpleCookie(line).items()}


class Run(NamedTuple):
    """The results of many requests."""

    seconds: list  # of each, sorted
    clock: float  # of all together
    statuses: list

    def percentile(self, share):
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]

    @property
    def rate(self):
        return len(self.seconds) / self.clock


def request(port, method, path, cookies="", form=None, is_kept=False, body=b"", headers=None):
    """Return the bytes of a request, as a proxy that terminates TLS forwards it. `headers` replace the usual ones."""
    body = urlencode(form).encode() if form else body
    sent = {
        "Host": f"localhost:{port}", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7",
        "Accept": "text/html", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) bench",
        "Connection": "keep-alive" if is_kept else "close", "Referer": f"https://localhost:{port}{path}",
        "Sec-Fetch-Site": "same-origin" if method == "POST" else "none",  # as browsers do
    }  # fmt: skip
    sent |= {"Cookie": cookies} if cookies else {}
    sent |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": len(body)} if body else {}
    lines = [f"{name}: {value}" for name, value in (sent | (headers or {})).items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


class Connection:
    """A client that keeps its connection as long as the server does."""

    def __init__(self, port):
        self.port, self.socket = port, None

    def ask(self, sent):
        begun = time.perf_counter()
        try:
            received = self._exchange(sent)
        except ConnectionError:  # the server had closed the connection
            self.close()
            received = self._exchange(sent)
        seconds = time.perf_counter() - begun
        head, _, body = received.partition(b"\r\n\r\n")
        if b"\r\nConnection: close" in head or b"\r\nconnection: close" in head:
            self.close()
        return Answer(int(head[9:12]), head.decode("latin-1"), body, seconds)

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def _exchange(self, sent):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(sent)
        received = b""
        while not _is_whole(received):
            part = self.socket.recv(65536)
            if not part:
                if b"\r\n\r\n" in received and b"ength:" not in received.partition(b"\r\n\r\n")[0]:
                    return received
                raise ConnectionResetError
            received += part
        return received


def _is_whole(received):
    head, end, body = received.partition(b"\r\n\r\n")
    length = end and re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(length) and len(body) >= int(length[1])


def open_form(port, path):
    """Open a page with a form as a visitor; return the cookies and the token for sending it."""
    client = Connection(port)
    answer = client.ask(request(port, "GET", path))
    client.close()
    found = TOKEN.search(answer.body.decode())
    token = {found[1]: html.unescape(found[2])} if found else {}
    return written(answer.cookies), token


def written(cookies):
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def run(port, requests, clients):
    """Send the requests with several concurrent clients, and return the results."""
    left, answers, failures = iter(requests), [], []
    taking, start = threading.Lock(), threading.Barrier(clients + 1)

    def work():
        client = Connection(port)
        start.wait()
        try:
            while True:
                with taking:
                    sent = next(left, None)
                if sent is None:
                    break
                answer = client.ask(sent)
                answers.append((answer.seconds, answer.status))
                if answer.status == 503:  # the shortest wait that Retry-After could ask for
                    time.sleep(1)
        except OSError as error:
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    clock = time.perf_counter() - begun
    if failures:
        raise failures[0]
    return Run(sorted(seconds for seconds, _ in answers), clock, [status for _, status in answers])


class Background:
    """A client that repeats a request with pauses until the end of the block."""

    def __init__(self, port, sent, pause=0.05):
        self.seconds, self.statuses, self.over = [], [], threading.Event()
        self.client, self.sent, self.pause = Connection(port), sent, pause
        self.thread = threading.Thread(target=self._work)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.client.close()

    def _work(self):
        with suppress(OSError):
            while not self.over.wait(self.pause):
                answer = self.client.ask(self.sent)
                self.seconds.append(answer.seconds)
                self.statuses.append(answer.status)


def for_seconds(requests, seconds):
    """Yield requests until `seconds` have passed."""
    deadline = time.monotonic() + seconds
    return itertools.takewhile(lambda _: time.monotonic() < deadline, requests)
