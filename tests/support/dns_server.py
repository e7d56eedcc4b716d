"""A DNS server on this machine that knows some TXT records, and the resolver that asks it."""

import socket
import threading
from contextlib import suppress

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset


class DnsServer:
    """Knows `records`: {name: [texts]}. A name above another one exists, without a record (RFC 8020)."""

    def __init__(self):
        self.records, self.answers = {}, True
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.resolver = dns.resolver.Resolver(configure=False)
        self.resolver.nameservers, self.resolver.port = ["127.0.0.1"], self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def stop(self):
        self.answers = None
        self.socket.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def _serve(self):
        while self.answers is not None:
            text, address = self.socket.recvfrom(4096)
            with suppress(Exception):  # no question
                if self.answers:
                    self.socket.sendto(self._answer(dns.message.from_wire(text)).to_wire(), address)

    def _answer(self, question):
        response = dns.message.make_response(question)
        response.flags |= dns.flags.RA
        name = question.question[0].name.to_text(omit_final_dot=True)
        if texts := self.records.get(name):
            quoted = [f'"{text}"' for text in texts]
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", *quoted))
        elif not any(f".{known}".endswith(f".{name}") for known in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response
