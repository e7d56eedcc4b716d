"""A mail server in this process, on 127.0.0.1, that goes wrong as it is told, and authorities that certify it."""

import asyncio
import ssl
import threading
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from ipaddress import ip_address
from socket import socket

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.waiting import PATIENCE

HOST = "127.0.0.1"
USERNAME, PASSWORD = "flasky", "a key under the mat"


class MailServer:
    """Keeps count of the `connections`, the `emails` and the `passwords` (each with the TLS it came over, if any)."""

    def __init__(self, mode, certificates):
        self.mode, self.certificates = MODES[mode], certificates
        self.connections, self.received, self.passwords = [], [], []
        self.socket = socket()
        self.socket.bind((HOST, 0))  # and refuses connections until it listens
        self.settings = {"MAIL_SERVER": HOST, "MAIL_PORT": self.socket.getsockname()[1]} | self.mode.settings
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self._run(self._open())

    def become(self, mode):
        """Do otherwise from the next connection on, over TLS or not as before."""
        self.mode = MODES[mode]
        self._run(self._listen())

    def stop(self):
        self._run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def hang_up(self):
        """Break all connections."""
        for connection in self.connections:
            self.loop.call_soon_threadsafe(connection.transport.abort)

    def _run(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    async def _open(self):
        def connect():
            self.connections.append(self.mode(self, self.loop))
            return self.connections[-1]

        implicit = self.certificates[self.mode.certificate] if self.mode.implicit_tls else None
        self.server = await self.loop.create_server(connect, sock=self.socket, ssl=implicit, start_serving=False)
        await self._listen()

    async def _listen(self):
        if self.mode.listens:
            await self.server.start_serving()

    async def _close(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in self.connections:
            if connection.transport:
                connection.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports say good-bye


class Normal(SMTP):
    """One connection, on which all goes well. A mode is a connection on which something does not."""

    listens = True
    certificate = None  # which of MailServer.certificates
    implicit_tls = False
    settings = {"MAIL_USE_TLS": False}  # what the application is told

    def __init__(self, mail_server, loop):
        self.mail_server = mail_server
        starttls = None if self.implicit_tls else mail_server.certificates.get(self.certificate)
        # Passwords are asked for over anything, to see who would give one.
        super().__init__(
            self, loop=loop, hostname=HOST, tls_context=starttls, auth_require_tls=False, authenticator=self.log_in
        )

    def log_in(self, server, session, envelope, mechanism, offered):
        encryption = self.transport.get_extra_info("ssl_object")
        self.mail_server.passwords.append((offered.password.decode(), encryption and encryption.version()))
        good = (offered.login.decode(), offered.password.decode()) == (USERNAME, PASSWORD)
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.answer_to(address)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        email = message_from_bytes(envelope.content, policy=policy.default)
        email["X-MailFrom"] = envelope.mail_from
        return await self.take(email)

    async def handle_exception(self, error):
        return f"451 {error!r}"

    def answer_to(self, address):
        return "550 5.1.1 no such user" if address.startswith("nobody@") else "250 OK"

    async def take(self, email):
        self.mail_server.received.append(email)
        return "250 OK"


class Refuses(Normal):
    listens = False


class Hangs(Normal):
    async def _handle_client(self):
        await asyncio.Event().wait()


class Busy(Normal):
    async def _handle_client(self):
        await self.push("421 4.3.2 too many connections")
        self.transport.close()


class Tires(Normal):
    """Has had enough after two emails."""

    async def smtp_MAIL(self, arg):
        if len(self.mail_server.received) != 2:
            return await super().smtp_MAIL(arg)
        self.mail_server.received.append(None)
        await self.push("421 4.7.0 too many emails")
        return self.transport.close()


class Greylists(Normal):
    def answer_to(self, address):
        return "451 4.7.1 greylisted"


class KnowsNobody(Normal):
    def answer_to(self, address):
        return "550 5.1.1 no such user"


class SmellsSpam(Normal):
    async def take(self, email):
        return "554 5.7.1 smells of spam"


class TakesNoData(Normal):
    async def smtp_DATA(self, arg):
        await self.push("554 5.3.4 not today")


class Drops(Normal):
    """Takes the email, and is gone before it has said so."""

    async def take(self, email):
        await super().take(email)
        self.transport.abort()
        await asyncio.Event().wait()


class Slow(Normal):
    async def take(self, email):
        await asyncio.sleep(0.1)
        return await super().take(email)


class StartTls(Normal):
    """Takes emails from those who have logged in."""

    certificate = "good"
    settings = {"MAIL_USE_TLS": True, "MAIL_USERNAME": USERNAME, "MAIL_PASSWORD": PASSWORD}

    async def handle_MAIL(self, server, session, envelope, address, options):
        if not session.authenticated:
            return "530 5.7.0 authentication required"
        envelope.mail_from = address
        return "250 OK"


class AsksDuringLogin(StartTls):
    """Calls the server's `during_login` before it answers the first login."""

    async def smtp_AUTH(self, arg):
        if call := vars(self.mail_server).pop("during_login", None):
            await asyncio.to_thread(call)
        return await super().smtp_AUTH(arg)


class Scripted(StartTls):
    """Gives the server's `answer` to a login, or to the recipient."""

    async def smtp_AUTH(self, arg):
        if self.mail_server.answer.startswith(("525", "53")):
            return await self.push(self.mail_server.answer)
        return await super().smtp_AUTH(arg)

    def answer_to(self, address):
        return self.mail_server.answer


class OAuth(StartTls):
    """Takes emails from those who have the server's `token`."""

    settings = {"MAIL_USE_TLS": True, "MAIL_USERNAME": USERNAME}

    async def auth_XOAUTH2(self, server, args):
        said = b64decode(args[1]).decode()
        self.mail_server.passwords.append(said)
        if said == f"user={USERNAME}\1auth=Bearer {self.mail_server.token}\1\1":
            return AuthResult(success=True)
        response = await self.challenge_auth('{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}')
        if response:  # XOAUTH2 wants an empty one
            await self.push("501 5.5.4 the response to the error is not empty")
        return AuthResult(success=False, handled=bool(response))


class ImplicitTls(StartTls):
    implicit_tls = True
    settings = StartTls.settings | {"MAIL_USE_SSL": True}


class UnknownAuthority(StartTls):
    certificate = "of an unknown authority"


class AnotherHost(StartTls):
    certificate = "for another host"


class UnknownAuthorityImplicitTls(ImplicitTls):
    certificate = "of an unknown authority"


class AnotherHostImplicitTls(ImplicitTls):
    certificate = "for another host"


class NoStartTls(StartTls):
    certificate = None


class NoTls(NoStartTls):
    settings = StartTls.settings | {"MAIL_USE_TLS": False}


class SlowStartTls(StartTls, Slow):
    """Both."""


MODES = {
    "normal": Normal,
    "refuses connections": Refuses,
    "hangs": Hangs,
    "421 at connect": Busy,
    "421 after two emails": Tires,
    "451 at RCPT": Greylists,
    "550 at RCPT": KnowsNobody,
    "554 at DATA": TakesNoData,
    "554 after DATA": SmellsSpam,
    "drops after DATA": Drops,
    "slow": Slow,
    "scripted": Scripted,
    "OAuth": OAuth,
    "STARTTLS": StartTls,
    "STARTTLS, slow": SlowStartTls,
    "STARTTLS, asks during login": AsksDuringLogin,
    "STARTTLS, unknown authority": UnknownAuthority,
    "STARTTLS, another host": AnotherHost,
    "STARTTLS not offered": NoStartTls,
    "TLS": ImplicitTls,
    "TLS, unknown authority": UnknownAuthorityImplicitTls,
    "TLS, another host": AnotherHostImplicitTls,
    "TLS not wanted": NoTls,
}


class Authority:
    """Signs certificates. Who trusts it has `file` in SSL_CERT_FILE."""

    def __init__(self, folder, name="Flasky's tests"):
        self.folder, self.file = folder, folder / f"{name}.pem"
        self.name, self.key = _name(name), ec.generate_private_key(ec.SECP256R1())
        other_uses = (
            "digital_signature content_commitment key_encipherment data_encipherment key_agreement crl_sign "
            "encipher_only decipher_only"
        ).split()
        certificate = self._sign(
            self.name,
            self.key,
            x509.BasicConstraints(ca=True, path_length=0),
            x509.KeyUsage(key_cert_sign=True, **dict.fromkeys(other_uses, False)),
        )
        self.file.write_bytes(certificate)

    def certify(self, host, days=30):
        """Return a file with a new key and a certificate for `host`, a name or an address, valid for these days."""
        key, file = ec.generate_private_key(ec.SECP256R1()), self.folder / f"{self.file.stem} for {host} {days}.pem"
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host)) if host == HOST else x509.DNSName(host)])
        file.write_bytes(_pem(key) + self._sign(_name(host), key, names, days=days))
        return file

    def _sign(self, subject, key, *extensions, days=30):
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=not isinstance(extension, x509.SubjectAlternativeName))
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def tls(certificate):
    """A server's side of TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def _name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
