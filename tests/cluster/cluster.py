"""The cluster of docs/cluster.md on this machine: nginx, two web servers, Redis and PostgreSQL on three nodes."""

import os
import re
import secrets
import subprocess
import sys
from contextlib import ExitStack, suppress

import psycopg
from engines import Engine, etcd, haproxy, pgbouncer, redis
from node import Node
from support.clients import ROOT
from support.ledger import Row
from support.nginx import HERE, Nginx, free_port
from support.waiting import until

PAGE = (ROOT / "docs/cluster.md").read_text()
ROLE = re.findall(r"^    ((?:CREATE|ALTER) .*);$", PAGE, re.MULTILINE)  # the application's, and its database


class Machine:
    """A web server and a worker, and the way from both to whoever leads: PgBouncer, then HAProxy."""

    def __init__(self, folder, number, nodes, password, settings):
        self.haproxy = haproxy(folder, f"haproxy{number}", nodes)
        self.pgbouncer = pgbouncer(folder, f"pgbouncer{number}", self.haproxy.port, password)
        address = f"flasky:{password}@{HERE}:{self.pgbouncer.port}/flasky"
        self.environment = settings | {"DATABASE_URL": f"postgresql://{address}"}
        self.web = self._python(folder, f"web{number}", "gunicorn", "flasky:app", port=free_port())
        self.worker = self._python(folder, f"worker{number}", "flask", "mail", "worker")
        self.engines = [self.haproxy, self.pgbouncer, self.web, self.worker]

    def migrate(self):
        """As before any new code runs, and by the same way."""
        command = [sys.executable, "-m", "flask", "db", "upgrade"]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    def _python(self, folder, name, module, *arguments, port=None):
        bind = ["--bind", f"{HERE}:{port}"] if port else []
        command = [sys.executable, "-m", module, *bind, *arguments]
        return Engine(folder, name, command, port, cwd=ROOT, env=self.environment)


class Cluster:
    """Every part is a process, or a few, in one folder. Start them by `with`."""

    def __init__(self, folder, sink):
        self.folder, self.port = folder, free_port()
        self.url = f"https://localhost:{self.port}"
        self.passwords = {user: secrets.token_hex() for user in ("postgres", "replicator", "flasky")}
        self.etcd = etcd(folder)
        self.nodes = [Node(folder, name, self.etcd, self.passwords) for name in ("db1", "db2", "db3")]
        self.redis = redis(folder)
        settings = {
            "PATH": os.environ["PATH"],
            "PYTHON_DOTENV_DISABLED": "1",
            "FLASK_APP": "flasky",
            "FLASK_CONFIG": "production",
            "SECRET_KEY": secrets.token_hex(),
            "PUBLIC_URL": self.url,
            "TRUSTED_PROXIES": "1",
            "MAIL_SERVER": HERE,
            "MAIL_PORT": str(sink.port),
            "MAIL_USE_TLS": "0",
            "MAIL_DELIVERY": "worker",
            "REDIS_URL": f"redis://{HERE}:{self.redis.port}/0",
            "WEB_CONCURRENCY": "1",
        }
        password = self.passwords["flasky"]
        self.machines = [Machine(folder, number, self.nodes, password, settings) for number in range(2)]
        self.nginx = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        machines = [engine for machine in self.machines for engine in machine.engines]
        with ExitStack() as endings:  # whatever goes wrong with one, the others are ended
            for part in (*self.etcd, *self.nodes, self.redis, *machines):
                endings.callback(part.kill)
            if self.nginx:
                endings.callback(self.nginx.stop)

    def leader(self, after=None):
        """The node that leads, once it is another than the one before."""
        return self._pair(after)[0]

    def standby(self):
        """The node that has all that was committed."""
        return self._pair()[1]

    def wait_until_whole(self):
        until(lambda: all(len(roles) == len(self.nodes) for roles in self._roles()), "every node to be back", 90)

    def accounts(self):
        """Whether each address is confirmed."""
        return dict(self._ask("SELECT email, confirmed FROM users"))

    def rows(self):
        """The outbox, sent or not."""
        return [Row(*row) for row in self._ask("SELECT recipient, message_id, status, claimed_until FROM outbox")]

    def longest_email(self):
        """In seconds, from the commit that caused it."""
        return self._ask("SELECT extract(epoch FROM max(done_at - created_at)) FROM outbox")[0][0]

    def _start(self):
        for engine in (*self.etcd, *self.nodes, self.redis):
            engine.start()
        for statement in ROLE:
            self._ask(statement.replace("PASSWORD-OF-FLASKY", self.passwords["flasky"]), "postgres")
        for machine in self.machines:
            machine.haproxy.start()
            until(lambda machine=machine: self._leads(machine), "HAProxy to find the leader")
            machine.pgbouncer.start()
        self.machines[0].migrate()
        for machine in self.machines:
            machine.web.start()
            machine.worker.start()
        self.nginx = Nginx(self.folder, self.port, [machine.web.port for machine in self.machines])

    def _pair(self, after=None):
        nodes = {node.name: node for node in self.nodes}

        def found():
            for roles in self._roles():
                names = {role: name for name, role in roles.items()}
                if {"leader", "sync_standby"} <= names.keys() and nodes[names["leader"]] is not after:
                    return nodes[names["leader"]], nodes[names["sync_standby"]]
            return None

        return until(found, "one to lead and another to have all that it has", 90)

    def _roles(self):
        return [node.roles() for node in self.nodes]

    def _leads(self, machine):
        with suppress(psycopg.OperationalError):
            return self._ask("SELECT 1", "postgres", machine.haproxy.port)

    def _ask(self, statement, database="flasky", port=None):
        """Ask the leader, or whoever is behind a port."""
        account = {"user": "postgres", "password": self.passwords["postgres"], "dbname": database}
        port = port or self.leader().postgres_port
        with psycopg.connect(host=HERE, port=port, autocommit=True, **account) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []
