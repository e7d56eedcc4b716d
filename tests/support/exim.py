"""Exim, a real mail server: one configuration file in a folder of its own, emails delivered into a Maildir there."""

import shutil
import socket
import subprocess
import tempfile
from email import message_from_bytes, policy
from pathlib import Path

from support.mail_server import HOST, PASSWORD, USERNAME
from support.waiting import until

CONFIGURATION = """
exim_user = Debian-exim
exim_group = Debian-exim
keep_environment =
primary_hostname = mail.example.com
log_selector = +smtp_connection
smtp_accept_queue_per_connection = 0
spool_directory = {folder}/spool
log_file_path = {folder}/log/%s
local_interfaces = {host}
daemon_smtp_ports = {port}
tls_advertise_hosts = *
tls_certificate = {folder}/certificate.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
acl_smtp_rcpt = recipient
host_lookup =
rfc1413_query_timeout = 0s
smtp_enforce_sync = true

begin acl
recipient:
  deny !encrypted = *
       message = 550 5.7.1 emails are taken over TLS alone
  deny !authenticated = *
       message = 550 5.7.1 log in first
  deny local_parts = nobody
       message = 550 5.1.1 no such user
  defer local_parts = later
       message = 451 4.7.1 greylisted
  accept local_parts = slow
         delay = 4s
  accept

begin routers
gone:
  driver = redirect
  local_parts = gone
  allow_fail
  data = :fail: no such mailbox

everybody:
  driver = accept
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = {folder}/emails
  maildir_format
  user = Debian-exim
  delivery_date_add
  envelope_to_add
  return_path_add

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{username}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


class Exim:
    """The server. Root starts it; it goes on as Debian-exim."""

    def __init__(self, certificate):
        folder = self.folder = Path(tempfile.mkdtemp(prefix="flasky-exim-"))
        for name in ("spool", "log", "emails"):
            (folder / name).mkdir()
        shutil.copy(certificate, folder / "certificate.pem")
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "Debian-exim", "Debian-exim")
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        configuration = folder / "exim.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                host=HOST,
                port=self.port,
                username=USERNAME,
                password=PASSWORD,
            )
        )
        configuration.chmod(0o644)  # Exim takes no other, and only root's
        self.process = subprocess.Popen(
            ["/usr/sbin/exim4", "-C", configuration, "-bdf", "-q1m"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        until(self.listens)

    def listens(self):
        assert self.process.poll() is None, self.process.communicate()[0]
        return "listening for SMTP" in self.log()

    def connections(self):
        return self.log().count("TCP/IP connection count")

    def outbox(self):
        """What has been delivered, oldest first."""
        files = sorted((self.folder / "emails").glob("new/*"), key=lambda file: file.stat().st_mtime_ns)
        return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]

    def log(self):
        file = self.folder / "log/main"
        return file.read_text() if file.exists() else ""

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=120)
        shutil.rmtree(self.folder)
