"""An email as a mail server gets it: ASCII, in lines of 76 characters, whatever its words are.

RFC 5321 ends a line at 998 octets, and servers refuse or fold longer ones, so both bodies are quoted-printable.
RFC 2047 lets an encoded word have 75 characters: a header is encoded and folded once, here, and never again.
"""

import secrets
from email.charset import QP, SHORTEST, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import formatdate, quote, unquote

import flask_mail

from settings.domains import domain_of_host

WIRE = compat32.clone(linesep="\r\n", max_line_length=None, mangle_from_=False)  # folded below
LINE = 76  # characters of a header
LONGEST_WORD = 60  # characters that a header can't be folded within; it is encoded if it has more
LONGEST_ID_DOMAIN = 200  # characters

UTF8 = Charset("utf-8")
UTF8.header_encoding, UTF8.body_encoding = SHORTEST, QP


def new_message_id(host: str) -> str:
    """Return a Message-ID of this host, at most 254 characters long: of a longer name its end will do."""
    domain = domain_of_host(host)
    if len(domain) > LONGEST_ID_DOMAIN:
        domain = domain[-LONGEST_ID_DOMAIN:].lstrip(".-")
    return f"<{secrets.token_hex(16)}@{domain}>"


def parse_sender(text: str) -> tuple[str, str]:
    """Split `"Name" <address>` into the name, which may be empty, and the address.

    email.utils.parseaddr() can't replace this: since Python 3.13 it refuses addresses whose domain is an IP address.
    """
    name, _, address = text.rpartition("<")
    return unquote(name.strip()), address.removesuffix(">")


class Message(flask_mail.Message):
    """Flask-Mail's message, written by the rules above."""

    def as_bytes(self) -> bytes:
        return self._written().as_bytes(policy=WIRE)

    def as_string(self) -> str:
        return self.as_bytes().decode("ascii")

    def _written(self) -> MIMEMultipart:
        written = MIMEMultipart("alternative")
        written["Subject"] = _subject(self.subject)
        written["From"] = _sender(*parse_sender(str(self.sender)))
        written["To"] = ", ".join(map(str, self.recipients))
        written["Date"] = formatdate(self.date)
        written["Message-ID"] = self.msgId
        for name, value in (self.extra_headers or {}).items():
            written[name] = value
        written.attach(_part("plain", self.body or ""))
        written.attach(_part("html", self.html or ""))
        return written


def _subject(text: str) -> str:
    return Header(text, UTF8 if _needs_encoding(text) else "us-ascii", header_name="Subject").encode(maxlinelen=LINE)


def _sender(name: str, address: str) -> str:
    """Return who an email comes from: a name in quotes, or encoded if that won't do, and the address."""
    quoted = f'"{quote(name)}"'
    is_plain = not _needs_encoding(quoted)
    header = Header(quoted if is_plain else name, "us-ascii" if is_plain else UTF8, header_name="From")
    header.append(f"<{address}>", "us-ascii")
    return header.encode(maxlinelen=LINE)


def _part(kind: str, text: str) -> MIMENonMultipart:
    part = MIMENonMultipart("text", kind)
    part.set_payload(text, UTF8)
    return part


def _needs_encoding(text: str) -> bool:
    """Say whether `text` can't stand in a header as it is, or would be read as an encoded word."""
    return not text.isascii() or "=?" in text or any(len(word) > LONGEST_WORD for word in text.split(" "))
