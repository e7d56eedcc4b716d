"""Parts of a cluster are killed one after another: no session ends, and whatever was confirmed is kept."""

import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import Cluster
from engines import NOBODY
from members import Book, Member, Newcomer
from support.ledger import wrong
from support.sink import Sink
from support.waiting import until

pytestmark = pytest.mark.cluster

MEMBERS, NEWCOMERS = 4, 3
MORE = 3  # accounts that are made before it is calm again


@pytest.fixture
def folder():
    folder = Path(tempfile.mkdtemp(prefix="flasky-cluster-"))
    if NOBODY:
        shutil.chown(folder, NOBODY["user"], NOBODY["group"])
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink
        sink.holds = None


@pytest.fixture
def cluster(folder, sink):
    with Cluster(folder, sink) as cluster:
        yield cluster


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def members(cluster, sink, book):
    """People who are logged in from the beginning, while others join all the time."""
    members = [Member(cluster, sink, book) for _ in range(MEMBERS)]
    newcomers = [Newcomer(cluster, sink, book) for _ in range(NEWCOMERS)]
    try:
        until(lambda: all(member.is_in for member in members), f"the first to be logged in: {book.faults}", 60)
        yield members
    finally:
        book.is_over.set()
        for person in members + newcomers:
            person.thread.join()


class Report:
    """What each kill cost, until all was calm again."""

    row = "{:26} {:>14} {:>11} {:>15} {:>5} {:>8} {:>7}"

    def __init__(self, book, members):
        self.book, self.names = book, [member.name for member in members]
        self.lines = [
            "",
            self.row.format("", "nobody served", "one waited", "slowest answer", "503", "cut off", "joined"),
        ]

    @contextmanager
    def of(self, what):
        begun, before = time.monotonic(), len(self.book.confirmed)
        yield
        calm = f"{MORE} people to join after this: {what}; {self.book.faults}"
        until(lambda: len(self.book.confirmed) >= before + MORE, calm, 60)
        now = time.monotonic()
        answers = self.book.between(begun, now)
        seconds = [
            self.book.gap(begun, now, *self.names),
            max(self.book.gap(begun, now, name) for name in self.names),
            max(said.seconds for said in answers),
        ]
        refused, cut_off = (sum(said.status in statuses for said in answers) for statuses in ({503}, {0, 502, 504}))
        times = [f"{number:.1f} s" for number in seconds]
        self.lines.append(self.row.format(what, *times, refused, cut_off, len(self.book.confirmed) - before))


@pytest.fixture
def report(capsys, book, members):
    report = Report(book, members)
    yield report
    with capsys.disabled():
        print(*report.lines, sep="\n")


def test_a_cluster_keeps_what_it_confirmed_whatever_is_killed(cluster, sink, book, members, report):
    one, another = cluster.machines
    with report.of("nothing"):
        pass
    with report.of("kill -9 a web server"):
        one.web.kill()
        one.web.start()
    with report.of("kill -9 a worker"):
        sink.holds = "before"
        until(lambda: sink.in_hand == len(cluster.machines), "each worker to have an email in hand")
        another.worker.kill()
        sink.holds = None
        another.worker.start()
    with report.of("kill -9 Redis"):
        cluster.redis.kill()
        time.sleep(5)
        cluster.redis.start()
    with report.of("kill -9 the standby"):
        standby = cluster.standby()
        standby.kill()
        standby.start()
    cluster.wait_until_whole()
    with report.of("kill -9 the leader"):
        leader, promised = cluster.leader(), len(book.registered)
        until(lambda: len(book.registered) > promised, "a promise that is fresh")
        leader.kill()
        cluster.leader(after=leader)
        leader.start()
    cluster.wait_until_whole()
    with report.of("another leads, as ordered"):
        leader = cluster.leader()
        leader.hand_over()
        cluster.leader(after=leader)
    book.is_over.set()
    until(lambda: all(row.status == "sent" for row in cluster.rows()), "all emails to go", 90)
    accounts, twice = cluster.accounts(), len(sink.received) - len({email.recipient for email in sink.received})
    report.lines.append(
        f"{len(book.registered)} people were told that they have an account. Each got the email, "
        f"within {cluster.longest_email():.0f} s; {twice} got it twice."
    )
    assert book.lost(accounts) == []
    assert wrong(accounts, cluster.rows(), sink.received, kills=1 + len(cluster.machines)) == []
    assert book.faults == []
    assert {said.status for said in book.answers} <= {0, 200, 302, 502, 503}
    assert all(member.get("account").status == 200 for member in members)
    first = book.confirmed[0]
    del accounts[first]
    assert book.lost(accounts) == [  # or the check would see nothing
        f"{first} was told of an account and has none",
        f"{first} was confirmed and is not",
    ]
