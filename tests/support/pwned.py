"""A service with the range protocol of Pwned Passwords, which a test controls."""

from hashlib import sha1

from support.local_server import LocalServer, send


class Range(LocalServer):
    """A service that knows some passwords, pads its answers, and keeps what it was asked."""

    def __init__(self, *known):
        self.known, self.asked, self.fails = set(known), [], None
        super().__init__("/range/")

    def answer(self, handler):
        body = int(handler.headers.get("Content-Length", 0))
        self.asked.append((handler.path, handler.headers["Add-Padding"], body))
        if self.fails:
            self.fails(self, handler)
        else:
            send(handler, self.lines(handler.path.rpartition("/")[2]))

    def lines(self, prefix):
        """Return the hashes with this prefix, then padding, which repeats unknown ones with the count 0."""
        hashes = [digest(password) for password in self.known]
        found = [f"{each[5:]}:{7 + number}" for number, each in enumerate(hashes) if each.startswith(prefix)]
        others = [f"{digest(f'another {number}')[5:]}:{number}" for number in range(1, 40)]
        padding = [f"{digest(f'unknown {number}')[5:]}:0" for number in range(800)]
        return "\r\n".join(sorted(found + others) + padding).encode()


def digest(password):
    return sha1(password.encode()).hexdigest().upper()


def broken(service, handler):
    send(handler, b"0" * 35 + b":1", 500)


def busy(service, handler):
    send(handler, b"Rate limit is exceeded", 429)


def silent(service, handler):
    service.over.wait(60)


def dripping(service, handler):
    """Send a whole answer, each byte within the timeout of the socket."""
    handler.send_response(200)
    handler.end_headers()
    for byte in service.lines("00000"):
        handler.wfile.write(bytes([byte]))
        if service.over.wait(0.4):
            return


def huge(service, handler):
    send(handler, b"\r\n".join([b"0" * 35 + b":1"] * 40_000))


def redirecting(service, handler):
    """Redirect to itself, where it would answer."""
    service.fails = None
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


def empty(service, handler):
    send(handler, b"")


def page(service, handler):
    """Answer as the login page of a hotel's network does."""
    send(handler, b"<!doctype html><title>Welcome</title>")


def cut_off(service, handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"0" * 35 + b":1\r\n0000")
