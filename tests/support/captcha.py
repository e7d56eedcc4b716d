"""A CAPTCHA service that a test controls."""

import json
from functools import partial
from urllib.parse import parse_qs

from support.local_server import LocalServer
from support.local_server import send as send_text

send = partial(send_text, content_type="application/json")


class Service(LocalServer):
    """A service that answers as it is told, and keeps what it was asked."""

    def __init__(self):
        self.asked, self.says = [], {"success": True, "hostname": "localhost"}
        super().__init__("/siteverify")

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        self.asked.append(parse_qs(body, keep_blank_values=True, strict_parsing=True))
        if callable(self.says):
            return self.says(self, handler)
        return send(handler, self.says if isinstance(self.says, bytes) else json.dumps(self.says).encode())


def broken(service, handler):
    send(handler, b'{"success": true}', 500)
