"""A CAPTCHA service that a test controls."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


class Service:
    """A service on 127.0.0.1 that answers as it is told, and keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.says = {"success": True, "hostname": "localhost"}
        self.over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):
                body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
                self.asked.append(parse_qs(body, keep_blank_values=True, strict_parsing=True))
                self.answer(handler)

            def log_message(handler, *_):
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # the application hangs up on it
        self.url = f"http://127.0.0.1:{self.server.server_port}/siteverify"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, handler):
        if callable(self.says):
            return self.says(self, handler)
        return send(handler, self.says if isinstance(self.says, bytes) else json.dumps(self.says).encode())

    def stop(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def send(handler, body, status=200):
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", len(body))
    handler.end_headers()
    handler.wfile.write(body)


def broken(service, handler):
    send(handler, b'{"success": true}', 500)
