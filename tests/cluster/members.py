"""Users who use the site all the time, and a record of what the site told them."""

import threading
import time
from contextlib import suppress
from http.client import HTTPException
from itertools import count, pairwise
from typing import NamedTuple

from support.clients import PASSWORD
from support.nginx import Visitor
from support.serving import registration

PAUSE = 0.25  # seconds between two pages of one person


class Away(Exception):
    """There was no answer, or one that says to come back later."""


class Over(Exception):
    """The test has seen enough."""


class Answered(NamedTuple):
    moment: float
    who: str
    status: int  # 0: there was no answer
    seconds: float


class Book:
    """What was answered, when and to whom, and what was promised."""

    def __init__(self):
        self.answers = []  # see Answered
        self.registered, self.confirmed = [], []  # addresses whose people were told so
        self.faults = []  # what must not happen
        self.is_over = threading.Event()

    def between(self, since, until, *whom):
        """What was answered to these, or to all, in that time."""
        return [said for said in list(self.answers) if since < said.moment < until and (not whom or said.who in whom)]

    def gap(self, since, until, *whom):
        """For how long none of these was served, at the longest."""
        served = sorted(said.moment for said in self.between(since, until, *whom) if 0 < said.status < 500)
        return max(later - earlier for earlier, later in pairwise([since, *served, until]))

    def lost(self, accounts):
        """Say which promises are not kept by these accounts: addresses, and whether each is confirmed."""
        lost = [f"{email} was told of an account and has none" for email in self.registered if email not in accounts]
        return lost + [f"{email} was confirmed and is not" for email in self.confirmed if not accounts.get(email)]


class Person(Visitor):
    """Somebody who does the same again and again, and is not put off by errors."""

    numbers = count(1)

    def __init__(self, cluster, sink, book):
        super().__init__(cluster.url, cluster.nginx.authority)
        self.sink, self.book = sink, book
        self.move()
        self.thread = threading.Thread(target=self._live)
        self.thread.start()

    def move(self):
        """Be somebody else, elsewhere: the limits count by address."""
        number = next(self.numbers)
        self.name, self.address, self.cookies = f"person{number}", f"127.1.{number // 250}.{number % 250 + 1}", {}

    def ask(self, method, url, form, headers):
        begun, status = time.monotonic(), 0
        try:
            answer = super().ask(method, url, form, headers)
            status = answer.status
        except (OSError, HTTPException) as error:
            raise Away from error
        finally:
            now = time.monotonic()
            self.book.answers.append(Answered(now, self.name, status, now - begun))
            del self.answers[:-1]
        if status in {502, 503, 504}:
            raise Away
        return answer

    def join(self):
        """Register, confirm the address, and log in anew."""
        email = f"{self.name}@example.com"
        self.insist(self.get, "auth/register")
        self.expect(self.post("auth/register", registration(self.name)), 302)  # once: only an answer is a promise
        self.book.registered.append(email)
        link = self._email_to(email).link
        self.insist(lambda: self.expect(self.follow(self.get(link)), 200))
        self.book.confirmed.append(email)
        self.insist(self._log_out)
        self.insist(self._log_in)

    def insist(self, what, *arguments):
        """Do it until there is an answer."""
        while True:
            with suppress(Away):
                return what(*arguments)
            self._pause()

    def expect(self, answer, *statuses):
        if answer.status not in statuses:
            raise AssertionError(f"{answer.status} at {answer.url}, {answer.headers['Location']}")

    def _live(self):
        while not self.book.is_over.wait(PAUSE):
            try:
                self.live()
            except (Away, Over):
                pass
            except Exception as error:
                self.book.faults.append(f"{self.name}: {error!r}")

    def _pause(self):
        if self.book.is_over.wait(PAUSE):
            raise Over

    def _email_to(self, email):
        while True:
            for message in list(self.sink.received):
                if message.recipient == email:
                    return message
            self._pause()

    def _log_out(self):
        if self.get("auth/logout").status == 200:  # else it was done, and only the answer did not come
            self.expect(self.post("auth/logout", {}), 302)

    def _log_in(self):
        self.get("auth/login")
        self.expect(self.post("auth/login", {"login": self.name, "password": PASSWORD}), 302)


class Newcomer(Person):
    """Again and again a new one."""

    def live(self):
        self.move()
        self.join()
        self.expect(self.insist(self.get, "account"), 200)


class Member(Person):
    """Logged in from the beginning to the end."""

    is_in = False

    def live(self):
        if not self.is_in:
            self.join()
            self.is_in = True
        self.expect(self.get("account"), 200)
