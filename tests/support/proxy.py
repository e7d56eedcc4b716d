"""A small proxy with TLS, which passes requests on as a test wishes: without the Host header, to another path, ..."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.mail_server import tls

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "server", "date"}


class Proxy:
    """Passes GET requests on to the port `behind`, as docs/nginx.conf does, until a test changes an attribute."""

    def __init__(self, certificate):
        self.behind = None
        self.sends_host, self.proto, self.cuts_off = True, "https", ""
        self.answers = None  # a status, headers and a body instead of the application's
        self.changes = lambda name, value: value  # of a header of the answer; None leaves it out

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler):
                self._pass_on(handler)

            def log_message(handler, *_):
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("localhost", 0), Handler)
        self.server.handle_error = lambda *_: None  # a visitor refused the certificate
        self.port, self.plain = self.server.server_port, self.server.socket
        self.certify(certificate)
        self.url = f"https://localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def certify(self, certificate):
        """Use a certificate from the next connection on."""
        context = tls(certificate)
        self.server.get_request = lambda: self._accept(context)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def _accept(self, context):
        connection, address = self.plain.accept()
        connection.settimeout(10)
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def _pass_on(self, handler):
        status, headers, body = self.answers or self._ask(handler)
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP and (changed := self.changes(name, value)) is not None:
                handler.send_header(name, changed)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _ask(self, handler):
        passed = [entry for entry in (handler.headers["X-Forwarded-For"], handler.client_address[0]) if entry]
        headers = {"Host": handler.headers["Host"]} if self.sends_host else {}
        headers |= {"X-Forwarded-Proto": self.proto} if self.proto else {}
        connection = http.client.HTTPConnection("localhost", self.behind, timeout=10)
        headers |= {"X-Forwarded-For": ", ".join(passed), "Connection": "close"}
        connection.request("GET", handler.path.removeprefix(self.cuts_off), headers=headers)
        response = connection.getresponse()
        try:
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()
