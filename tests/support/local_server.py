"""An HTTP server on 127.0.0.1 for a service that a test controls."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.mail_server import tls


class LocalServer:
    """Override `answer()`, which gets the request handler; after `stop()`, `over` is set, for answers that wait."""

    def __init__(self, path="", certificate=None):
        self.over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler):
                self.answer(handler)

            do_POST = do_GET

            def log_message(handler, *_):
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # the application hangs up on it
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server.server_port}{path}"
        if certificate:
            self.server.socket = tls(certificate).wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def send(handler, body, status=200, content_type="text/plain", **headers):
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", len(body))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
