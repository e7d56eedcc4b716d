"""Serialize emails as ASCII in lines of at most 76 characters.

RFC 5321 limits a line to 998 octets, and servers refuse or fold longer ones, so both bodies are quoted-printable.
RFC 2047 limits an encoded word to 75 characters, so headers are encoded and folded here only.
The text part is "flowed" (RFC 3676): old mail clients show its short lines, others join them to fit the window.
"""

import re
import secrets
from email.charset import QP, SHORTEST, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import formatdate, quote, unquote

import flask_mail

from settings.domains import domain_of_host

WIRE = compat32.clone(linesep="\r\n", max_line_length=None, mangle_from_=False)  # headers are already folded
MAX_LINE = 76  # characters of a header
MAX_WORD = 60  # characters; a header with a longer word is encoded, since it can only be folded at spaces
MAX_FLOWED = 71  # characters of a line of text, and a space before and after it
SIGNATURE = "-- "  # RFC 3676, section 4.3: mail clients set apart what follows this line
MAX_ID_DOMAIN = 200  # characters

UTF8 = Charset("utf-8")
UTF8.header_encoding, UTF8.body_encoding = SHORTEST, QP


def new_message_id(host: str) -> str:
    """Return a Message-ID of at most 254 characters, from the end of a longer host name."""
    domain = domain_of_host(host)
    if len(domain) > MAX_ID_DOMAIN:
        domain = domain[-MAX_ID_DOMAIN:].lstrip(".-")
    return f"<{secrets.token_hex(16)}@{domain}>"


def parse_sender(text: str) -> tuple[str, str]:
    """Split `"Name" <address>` into the name, which may be empty, and the address.

    email.utils.parseaddr() can't replace this: since Python 3.13 it refuses addresses whose domain is an IP address.
    """
    name, _, address = text.rpartition("<")
    return unquote(name.strip()), address.removesuffix(">")


def flowed(text: str) -> str:
    """Wrap long lines between words. A line that ends with a space continues on the next one."""
    return "\n".join(_flowed_line(line) for line in text.split("\n"))


def unflowed(text: str) -> str:
    """Join the lines that flowed() wrapped, as mail clients do (RFC 3676, section 4.1)."""
    lines = [line.removeprefix(" ") for line in text.split("\n")]
    return "".join(line if line.endswith(" ") and line != SIGNATURE else f"{line}\n" for line in lines).removesuffix(
        "\n"
    )


class Message(flask_mail.Message):
    """Flask-Mail's message, serialized as described above."""

    def as_bytes(self) -> bytes:
        return self._mime().as_bytes(policy=WIRE)

    def as_string(self) -> str:
        return self.as_bytes().decode("ascii")

    def _mime(self) -> MIMEMultipart:
        mime = MIMEMultipart("alternative")
        mime["Subject"] = _subject(self.subject)
        mime["From"] = _sender(*parse_sender(str(self.sender)))
        mime["To"] = ", ".join(map(str, self.recipients))
        if self.reply_to:
            mime["Reply-To"] = str(self.reply_to)
        mime["Date"] = formatdate(self.date)
        mime["Message-ID"] = self.msgId
        for name, value in (self.extra_headers or {}).items():
            mime[name] = value
        text = _part("plain", flowed(self.body or ""))
        text.set_param("format", "flowed")
        mime.attach(text)
        mime.attach(_part("html", self.html or ""))
        return mime


def _flowed_line(line: str) -> str:
    if line == SIGNATURE:
        return line
    lines = [""]
    for word in re.findall(r"^ +|[^ ]+ *", line.rstrip(" ")) or [""]:
        if lines[-1] and len(lines[-1]) + len(word.rstrip(" ")) > MAX_FLOWED:
            lines.append("")
        lines[-1] += word
    # RFC 3676, section 4.4: space-stuffing
    return "\n".join(f" {part}" if part.startswith((" ", ">", "From ")) else part for part in lines)


def _subject(text: str) -> str:
    header = Header(text, UTF8 if _needs_encoding(text) else "us-ascii", header_name="Subject")
    return header.encode(maxlinelen=MAX_LINE)


def _sender(name: str, address: str) -> str:
    """Return the From header: the name, quoted or encoded, and the address."""
    quoted = f'"{quote(name)}"'
    is_plain = not _needs_encoding(quoted)
    header = Header(quoted if is_plain else name, "us-ascii" if is_plain else UTF8, header_name="From")
    header.append(f"<{address}>", "us-ascii")
    return header.encode(maxlinelen=MAX_LINE)


def _part(kind: str, text: str) -> MIMENonMultipart:
    part = MIMENonMultipart("text", kind)
    part.set_payload(text, UTF8)
    return part


def _needs_encoding(text: str) -> bool:
    """Return whether a header can't contain `text` unchanged, or a reader would take it for an encoded word."""
    return not text.isascii() or "=?" in text or any(len(word) > MAX_WORD for word in text.split(" "))
