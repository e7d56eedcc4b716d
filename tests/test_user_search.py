"""The search for users: what finds whom, in which order, on pages that lead through all of them and back."""

from datetime import timedelta

import pytest
from sqlalchemy import event, func, insert, select, text

from app import clock
from app.accounts import user_search
from app.accounts.user_search import Filter, Order, Search, everyone, page
from app.extensions import db
from app.models import AuditEvent, User

NAMES = ["ann", "ann.lee", "Anna", "bob", "Xaver", "zoe"]


@pytest.fixture
def people(app):
    """The address of the fourth begins as the names of others; the last has an address in another script."""
    addresses = {"bob": "Ann.Bob@example.com", "zoe": "zoe@bücher.example"}
    for name in NAMES:
        db.session.add(User(username=name, email=addresses.get(name, f"{name}@example.org"), confirmed=True))
        db.session.flush()
    db.session.commit()


def names(*search, **options):
    return [user.username for user in page(Search(*search), **options).users]


@pytest.fixture(params=[5_000, 0], ids=["few", "many"])
def few(request, monkeypatch):
    """A group is read by its own index, or by that of the order."""
    monkeypatch.setattr(user_search, "FEW", request.param)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ann", ["ann", "ann.lee", "bob", "Anna"]),
        ("  ANN.", ["ann.lee", "bob"]),
        ("ann@", ["ann"]),
        ("ann@example.org", ["ann"]),
        ("zoe@bücher.example", ["zoe"]),
        ("zoe@xn--bc", ["zoe"]),
        ("2", ["ann.lee"]),
        ("999999999999999999999", []),
        ("²", []),
        ("lee", []),
        ("192.0.2.7", ["Xaver"]),
        ("2001:db8::17", ["bob"]),
        ("192.0.2.8", []),
        *(
            (hostile, [])
            for hostile in ("%", "_", "ann%", "an_", "\0", "ann\0", "\ud800", "'", "ann@\0", "x" * 100_000)
        ),
        *((script, []) for script in ("Ω", "日本語", "مرحبا", "İ@", "ann@bücher.", "é" * 254, "\U0010ffff")),
    ],
)
def test_a_search_finds_the_beginning_of_a_name_or_an_address_an_id_and_an_ip_address(people, words, found):
    db.session.add(AuditEvent(action="logged_in", user_id=5, ip="192.0.2.7", network="192.0.2.7"))
    db.session.add(AuditEvent(action="logged_in", user_id=4, ip="2001:db8::1", network="2001:db8::/64"))
    db.session.add(AuditEvent(action="logged_in", ip="192.0.2.7", network="192.0.2.7"))
    assert sorted(names(words)) == sorted(found)


def test_each_group_is_found_by_itself(people, few):
    changes = {
        Filter.UNCONFIRMED: {"confirmed": False},
        Filter.ADMINISTRATORS: {"role_name": "administrator"},
        Filter.TWO_FACTOR: {"two_factor_enabled_at": clock.now()},
        Filter.DEACTIVATED: {"deactivated_at": clock.now()},
        Filter.TO_BE_DELETED: {"deletion_due_at": clock.now()},
    }
    db.session.execute(User.__table__.update().values(login_count=1))
    db.session.execute(User.__table__.update().where(User.id == 6).values(role_name="moderator"))
    for number, change in enumerate(changes.values(), 1):
        db.session.execute(User.__table__.update().where(User.id == number).values(change))
    db.session.execute(User.__table__.update().where(User.id == 6).values(login_count=0))
    members = [*changes, Filter.NEVER_LOGGED_IN]
    assert members == list(Filter)
    for member, name in zip(members, NAMES, strict=True):
        for order in Order:
            assert names("", member, order) == [name], (member, order)
        assert names(name, member) == [name]
        assert names("q", member) == []


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (("", None, Order.NEWEST), NAMES[::-1]),
        (("", None, Order.OLDEST), NAMES),
        (("", None, Order.USERNAME), NAMES),
        (("", None, Order.USERNAME_DESCENDING), NAMES[::-1]),
        (("", None, Order.EMAIL), ["bob", "ann.lee", "ann", "Anna", "Xaver", "zoe"]),
        (("", None, Order.EMAIL_DESCENDING), ["zoe", "Xaver", "Anna", "ann", "ann.lee", "bob"]),
        (("", Filter.NEVER_LOGGED_IN, Order.EMAIL), ["bob", "ann.lee", "ann", "Anna", "Xaver", "zoe"]),
        (("", Filter.NEVER_LOGGED_IN, Order.NEWEST), NAMES[::-1]),
        (("ann", None, Order.NEWEST), ["ann", "bob", "ann.lee", "Anna"]),
        (("ann", Filter.NEVER_LOGGED_IN, Order.USERNAME_DESCENDING), ["ann", "bob", "ann.lee", "Anna"]),
    ],
)
def test_pages_lead_through_all_users_and_back(people, few, search, found, monkeypatch):
    for size in (1, 2, 4):
        there, key = [], ""
        while key or not there:
            shown = page(Search(*search), older=key, size=size)
            assert bool(shown.newer) == bool(there)
            there, key = [*there, [user.username for user in shown.users]], shown.older
        back, key = [there[-1]], shown.newer
        while key:
            shown = page(Search(*search), newer=key, size=size)
            back, key = [[user.username for user in shown.users], *back], shown.newer
        assert [name for names in there for name in names] == found
        assert back == there
        monkeypatch.setattr(user_search, "CHUNK", size)
        assert [user.username for user in everyone(Search(*search))] == found


def test_a_key_outlives_its_user_and_a_key_that_can_be_none_leads_to_the_first_page(people):
    shown = page(Search(order=Order.USERNAME), size=2)
    db.session.delete(shown.users[-1])
    assert names("", None, Order.USERNAME, older=shown.older, size=2) == ["Anna", "bob"]
    for key in ("x", "-1", "9" * 100, "\0", "²", "\ud800"):
        assert names(older=key, size=1) == ["zoe"]
        assert names("", None, Order.USERNAME, older=f"{key}\0", size=1) == ["ann"]
    assert names(newer="6", size=3) == ["zoe", "Xaver", "bob"], "a full first page"


@pytest.mark.extended
def test_no_search_among_many_users_reads_the_whole_table(app):
    """In the plans of both databases."""
    many, now, plans = 20_000, clock.now(), []
    row = {"password_version": 1, "confirmed": True, "created_at": now}
    rows = [
        row
        | {"id": n, "email": f"{n % 97}-{n}@example.com", "email_key": f"{n % 97}-{n}@example.com", "username": f"u{n}"}
        | {"username_key": f"u{n}", "login_count": n % 2, "deactivated_at": now if n % 1000 == 0 else None}
        for n in range(1, many + 1)
    ]
    db.session.execute(insert(User), rows)
    events = [
        {"action": "logged_in", "user_id": n, "network": "192.0.2.7", "at": now + timedelta(n)} for n in range(1, 900)
    ]
    db.session.execute(insert(AuditEvent), events)
    db.session.commit()
    is_sqlite = db.engine.dialect.name == "sqlite"
    if not is_sqlite:
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE users"))

    def explain(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith("SELECT") and "FROM users" in statement:
            cursor.execute(f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{statement}", parameters)
            plans.extend((statement, str(line[-1])) for line in cursor.fetchall())
            cursor.execute(statement, parameters)

    event.listen(db.engine, "after_cursor_execute", explain)
    for words in ("", "u1", "192.0.2.7"):
        for member in (None, Filter.NEVER_LOGGED_IN, Filter.DEACTIVATED, Filter.ADMINISTRATORS):
            for order in Order:
                shown = page(Search(words, member, order))
                page(Search(words, member, order), older=shown.older)
    event.remove(db.engine, "after_cursor_execute", explain)
    assert plans
    for statement, plan in plans:
        assert "Seq Scan on users" not in plan, statement
        assert plan != "SCAN users" or "ORDER BY users.id" in statement, statement  # which is the order of the table
    assert db.session.scalar(select(func.count()).select_from(User)) == many
