"""The register of personal data: the export has every row of the user, without secrets and other people's data."""

import html
import io
import json
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    String,
    Table,
    func,
    inspect,
    or_,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support.clients import PASSWORD, ROOT
from support.lives import live
from support.records import rows
from support.registration import FORM
from support.routes import addresses

from app import clock
from app.accounts import account_deletion, personal_data
from app.extensions import db
from app.models import (
    AuditEvent,
    Device,
    EmailChallenge,
    Job,
    OutboxEmail,
    Passkey,
    PasskeyChallenge,
    User,
    UserSession,
)

NASTY = "\"quoted\" \\ 'single'\n\t\x7f\u2028\u2029</script> é \U0001f980 NaN"


def taken_along(client):
    """Download the export; return the content of each file, and the text of all."""
    answer = client.post("/auth/export", buffered=True)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    return {name.removesuffix(".json"): json.loads(text) for name, text in texts.items()}, "".join(texts.values())


def is_ours(model):
    """Say whether a table is this application's: live() fills no others."""
    return getattr(model, "__module__", "").startswith("app.models")


def unregistered():
    """Return the tables that seem to hold personal data and are not registered."""
    return set(personal_data.unregistered())


def test_export_has_every_column_but_secrets_and_no_row_of_other_users(app, outbox):
    client = live(app, outbox, "lovelace")
    live(app, outbox, "babbage")
    held, text = taken_along(client)

    assert set(held) == {personal_data.table_of(model).name for model in personal_data.registered}
    for model in filter(is_ours, personal_data.registered):
        columns = {f"{model.__tablename__}.{column.name}" for column in model.__table__.columns}
        assert held[model.__tablename__], f"{model.__tablename__} has nothing: let live() leave something there"
        for row in held[model.__tablename__]:
            assert {f"{model.__tablename__}.{name}" for name in row} == columns - personal_data.SECRETS
    assert [row["email"] for row in held["users"]] == ["lovelace@example.com"]
    assert {row["action"] for row in held["audit_events"]} >= {"registered", "logged_in", "email_changed", "exported"}
    assert {"lovelace@example.net", "lovelace@example.com"} == {row["recipient"] for row in held["outbox"]}
    assert "lovelace's browser" in text

    assert "babbage" not in text
    me = User.find("lovelace").id
    assert {row["user_id"] for rows in held.values() for row in rows if "user_id" in row} == {me, None}


STRANGER = {"environ_base": {"REMOTE_ADDR": "2001:db8:bad::7"}, "headers": {"User-Agent": "Strange/7.0"}}
OWNER = {"environ_base": {"REMOTE_ADDR": "192.0.2.1"}, "headers": {"User-Agent": "Hers/1.0"}}


def everything_of(user):
    return json.dumps(personal_data.everything(user), default=str)


def test_export_does_not_tell_where_other_people_are(app, client, another_client, ada, phone, outbox):
    """Another person sends every form, with the address of an account, its username, and its password."""
    client.post("/auth/login", data={"login": "ada", "password": PASSWORD}, **OWNER)
    client.post("/auth/two-factor/verify", data={"code": phone.code()}, **OWNER)
    client.post("/auth/reset", data={"email": "ada@example.com"}, **OWNER)
    for password in ("wrong", PASSWORD):  # the right one leads to the two-factor page
        form = {"login": "ada", "username": "ada", "email": "ada@example.com", "password": password, "code": "123456"}
        for endpoint, address in addresses(app, "POST"):
            if endpoint != "auth.logout":
                another_client.post(address, data=form | {"confirm_password": password}, **STRANGER)
    outbox()
    held = personal_data.everything(ada)
    assert {row["action"] for row in held["audit_events"] if not row["ip"]} >= {
        "login_failed", "reset_requested", "magic_link_requested", "two_factor_failed"
    }  # fmt: skip
    assert {row["name"] for row in held["outbox"] if not row["details"]["ip"]} >= {"reset", "magic_link"}
    text = everything_of(ada)
    assert "db8:bad" not in text
    assert "Strange" not in text
    assert "reset_requested" in {row["action"] for row in held["audit_events"] if row["ip"] == "192.0.2.1"}
    assert {row["ip"] for row in held["user_sessions"]} == {"192.0.2.1", "127.0.0.1"}
    assert [row["details"]["user_agent"] for row in held["outbox"] if row["details"]["ip"] == "192.0.2.1"]


def test_export_does_not_tell_where_somebody_registered_with_the_users_address(client, another_client, outbox):
    client.post("/auth/register", data=FORM, **STRANGER)
    client.post("/auth/login", data=FORM | {"login": "eve"}, **STRANGER)
    another_client.post("/auth/magic-link", data={"email": "eve@example.com"}, **OWNER)
    link = outbox.link()
    another_client.get(link, **OWNER)
    another_client.post(link, **OWNER)
    eve = User.find("eve")
    assert eve.confirmed
    text = everything_of(eve)
    assert "registered" in text
    assert "Hers/1.0" in text
    assert "db8:bad" not in text
    assert "Strange" not in text


def test_export_has_rows_from_before_the_account_for_any_spelling_of_the_address(client, outbox):
    for spelling in ("Eve@bücher.example", "eve@xn--bcher-kva.example", "eva@bücher.example"):
        client.post("/auth/magic-link", data={"email": spelling})
    eve = User(username="eve", email="eve@BÜCHER.example", password=PASSWORD, confirmed=True)
    db.session.add(eve)
    db.session.commit()
    held = personal_data.everything(eve)
    assert [len(held[table]) for table in ("email_challenges", "outbox")] == [2, 2]


def test_export_has_no_secrets(app, outbox):
    client = live(app, outbox, "lovelace")
    outbox()
    secrets = [User.find("lovelace").password_hash]
    columns = [UserSession.id, Device.key, EmailChallenge.id, EmailChallenge.state, OutboxEmail.state]
    columns += [
        User.passkey_handle,
        Passkey.credential_id,
        Passkey.public_key,
        PasskeyChallenge.id,
        PasskeyChallenge.browser,
    ]
    for column in columns:
        secrets += db.session.scalars(select(column).where(column.is_not(None))).all()
    secrets += [challenge.code for challenge in db.session.scalars(select(EmailChallenge))]
    secrets += [client.get_cookie(name).value for name in ("session", "device")]
    for email in outbox:
        secrets += re.findall(r"eyJ[\w.-]+", email.body) + re.findall(r"\b\w{4} \w{4}$", email.body, re.MULTILINE)
    _, text = taken_along(client)
    assert len(secrets) >= 20
    assert not [secret for secret in secrets if secret in text]
    assert not re.search(r"eyJ[\w-]+\.|pbkdf2|scrypt", text)
    assert {name.partition(".")[0] for name in personal_data.SECRETS} <= set(db.metadata.tables)


def test_export_is_a_zip_file_that_is_streamed(client, ada):
    client.log_in(ada)
    noise = [f"{NASTY}{ada.password_hash}{number**999}" for number in range(2, 200)]
    db.session.add_all(
        [AuditEvent(user_id=ada.id, action="noise", detail={NASTY: text}, user_agent=text) for text in noise]
    )
    db.session.commit()
    answer = client.post("/auth/export", buffered=True)
    assert (answer.status_code, answer.mimetype) == (200, "application/zip")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="account.zip"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Content-Length" not in answer.headers
    parts = [len(part) for part in answer.response if part]
    assert max(parts) < sum(parts) / 3, "it never stands in memory as a whole"

    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        events = sorted(json.loads(archive.read("audit_events.json")), key=lambda row: row["id"])
        assert json.loads(archive.read("email_changes.json")) == [], "what is empty is valid, too"
    assert [(row["detail"], row["user_agent"]) for row in events if row["action"] == "noise"] == [
        ({NASTY: text}, text) for text in noise
    ]


def test_export_requires_the_button_and_is_recorded_in_the_history(client, ada, clock):
    client.log_in(ada)
    before = rows()
    for method in ("GET", "HEAD", "OPTIONS"):
        assert client.open("/auth/export", method=method).mimetype == "text/html"
    page = client.get("/auth/export").text
    assert all(str(words) in html.unescape(page) for words in personal_data.descriptions())
    assert rows() == before

    taken_along(client)
    line = db.session.scalar(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1))
    assert (line.action, line.user_id, line.ip) == ("exported", ada.id, "127.0.0.1")
    assert "Data downloaded" in client.get("/auth/history").text
    clock.move(minutes=15)
    assert client.get("/auth/export").location == "/auth/reauthenticate", "who finds a browser open gets nothing"
    assert client.post("/auth/export").status_code == 403


def test_every_table_with_personal_data_is_registered():
    assert unregistered() == set()


def test_no_foreign_key_prevents_the_deletion_of_an_account():
    assert list(personal_data.blocking()) == []


@pytest.mark.parametrize("column", ["owner_id", "email", "recipient_key", "postal_address"])
def test_new_table_with_personal_data_is_reported_until_it_is_registered(app, column):
    """This shows that the test before can fail."""
    kind = ForeignKey("users.id") if column == "owner_id" else String
    plants = Table("own_plants", db.metadata, Column("id", Integer, primary_key=True), Column(column, kind))
    try:
        assert unregistered() == {"own_plants"}
        personal_data.register(plants, lambda user: plants.c[column] == user.id, "Your plants")
        assert unregistered() == set()
    finally:
        personal_data.registered.pop(plants, None)
        db.metadata.remove(plants)


@pytest.fixture
def orders(app):
    """Make a shop's tables, three levels below `users`, and an association table; drop them after the test."""
    base = type("Shop", (DeclarativeBase,), {"metadata": db.metadata})

    class Tag(base):
        __tablename__ = "own_tags"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Order(base):
        __tablename__ = "own_orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))

    class Item(base):
        __tablename__ = "own_items"
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(ForeignKey("own_orders.id"))
        what: Mapped[str]

    class Parcel(base):
        __tablename__ = "own_a_parcel"  # sorts before the table that it refers to
        id: Mapped[int] = mapped_column(primary_key=True)
        item_id: Mapped[int] = mapped_column(ForeignKey("own_items.id"))

    order_tags = Table(
        "own_order_tags",
        db.metadata,
        Column("order_id", ForeignKey("own_orders.id"), primary_key=True),
        Column("tag_id", ForeignKey("own_tags.id"), primary_key=True),
    )
    tables = [Tag.__table__, Order.__table__, Item.__table__, Parcel.__table__, order_tags]
    db.metadata.create_all(db.engine, tables)
    registered = dict(personal_data.registered)
    yield SimpleNamespace(Tag=Tag, Order=Order, Item=Item, Parcel=Parcel, order_tags=order_tags)
    db.session.remove()
    personal_data.registered.clear()
    personal_data.registered.update(registered)
    db.metadata.drop_all(db.engine, tables)
    for table in reversed(tables):
        db.metadata.remove(table)


def order(orders, *people):
    """Let users order two things each, down to the parcels."""
    db.session.add(orders.Tag(id=1))
    for number, user in enumerate(people, 1):
        db.session.add(orders.Order(id=number, user_id=user.id))
        db.session.flush()
        items = [orders.Item(order_id=number, what=f"{user.username}'s {what}") for what in ("cup", "pot")]
        db.session.add_all(items)
        db.session.flush()
        db.session.add_all([orders.Parcel(item_id=item.id) for item in items])
        db.session.execute(orders.order_tags.insert().values(order_id=number, tag_id=1))
    db.session.commit()


def register_all(orders):
    """Register the deepest first: modules may be imported in any order."""
    what = select(orders.Item.what).where(orders.Item.id == orders.Parcel.item_id).scalar_subquery()
    personal_data.register(orders.Parcel, personal_data.below(orders.Parcel.item_id), "Your parcels", what=what)
    personal_data.register(orders.Item, personal_data.below(orders.Item.order_id), "Your orders")
    personal_data.register(orders.order_tags, personal_data.below(orders.order_tags.c.order_id), "tags of orders")
    personal_data.register(orders.Order, lambda user: orders.Order.user_id == user.id, "Your orders")


def test_table_that_refers_to_users_indirectly_is_reported(app, orders):
    assert unregistered() == {"own_orders", "own_items", "own_a_parcel", "own_order_tags"}, "tags belong to nobody"
    assert personal_data.unregistered()["own_a_parcel"] == "own_a_parcel -> own_items -> own_orders -> users"
    said = app.test_cli_runner().invoke(args=["doctor"]).output
    assert all(f"The table {name} holds" in said for name in unregistered())
    register_all(orders)
    assert unregistered() == set()
    assert "well   database" in app.test_cli_runner().invoke(args=["doctor"]).output


def test_rows_below_a_registered_table_are_exported_and_deleted(client, ada, bob, orders):
    register_all(orders)
    order(orders, ada, bob)
    client.log_in(ada)
    for page in ("/auth/delete", "/auth/export"):
        assert "Your orders" in client.get(page).text
    held, text = taken_along(client)
    assert [row["what"] for row in held["own_items"]] == ["ada's cup", "ada's pot"]
    assert [row["what"] for row in held["own_a_parcel"]] == ["ada's cup", "ada's pot"]
    assert (len(held["own_orders"]), len(held["own_a_parcel"]), len(held["own_order_tags"])) == (1, 2, 1)
    assert "bob's" not in text
    assert account_deletion.purge(User.find("ada"))
    db.session.commit()
    assert User.find("ada") is None
    assert db.session.scalars(select(orders.Item.what)).all() == ["bob's cup", "bob's pot"]
    assert db.session.scalar(select(func.count()).select_from(orders.Parcel)) == 2
    assert db.session.scalar(select(func.count()).select_from(orders.order_tags)) == 1


def test_deletion_blocked_by_an_unregistered_table_names_it(app, ada, orders, caplog):
    personal_data.register(orders.Order, lambda user: orders.Order.user_id == user.id, "Your orders")
    order(orders, ada)
    ada.deletion_due_at = clock.now() - timedelta(days=1)
    db.session.commit()
    app.test_cli_runner().invoke(args=["users", "cleanup"])
    job = db.session.scalar(select(Job).where(Job.failed_at.is_not(None)))
    assert "own_items" in job.error
    assert "own_orders" in job.error
    assert "own_items" in caplog.text
    db.session.remove()
    register_all(orders)
    app.test_cli_runner().invoke(args=["users", "cleanup"])
    assert User.find("ada") is None


@pytest.fixture
def table(app):
    """Return a function that makes a table of the owner's; drop all of them after the test."""
    made, registered = [], dict(personal_data.registered)

    def make(name, *columns):
        made.append(Table(name, db.metadata, Column("id", Integer, primary_key=True), *columns))
        return made[-1]

    yield make
    db.session.remove()
    personal_data.registered.clear()
    personal_data.registered.update(registered)
    for table in made:
        db.metadata.remove(table)
    with db.engine.begin() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tables that refer to each other
        db.metadata.drop_all(connection, [table for table in made if inspect(connection).has_table(table.name)])


def of_user(table):
    return lambda user: table.c.user_id == user.id


def owned_by(rule=None):
    return Column("user_id", ForeignKey("users.id", ondelete=rule))


def blog(table, **rule):
    """Make posts and comments, and let Bob comment on Ada's post."""
    posts = table("own_posts", owned_by())
    comments = table("own_comments", owned_by(), Column("post_id", ForeignKey("own_posts.id", **rule)))
    personal_data.register(posts, of_user(posts), "your posts")
    personal_data.register(comments, of_user(comments), "your comments")
    db.metadata.create_all(db.engine, [posts, comments])
    return posts, comments


def comment_of_bob_on_adas_post(ada, bob, posts, comments):
    db.session.execute(posts.insert().values(id=1, user_id=ada.id))
    db.session.execute(comments.insert().values(post_id=1, user_id=bob.id))
    db.session.commit()


def test_a_key_to_rows_of_another_user_is_named_before_it_prevents_a_deletion(app, ada, bob, table):
    comment_of_bob_on_adas_post(ada, bob, *blog(table))
    [sentence] = personal_data.blocking()
    assert sentence.startswith("own_comments.post_id refers to own_posts: a row of another user prevents")
    assert sentence in app.test_cli_runner().invoke(args=["doctor"]).output
    ada = User.find("ada")
    with pytest.raises(personal_data.Undeletable, match=r"own_comments\.post_id refers to own_posts"):
        account_deletion.purge(ada)


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL", "condition"])
def test_each_of_its_remedies_works(app, ada, bob, table, rule):
    posts, comments = blog(table, **({} if rule == "condition" else {"ondelete": rule}))
    if rule == "condition":
        on_mine = personal_data.below(comments.c.post_id)
        mine = lambda user: or_(comments.c.user_id == user.id, on_mine(user))  # noqa: E731
        personal_data.register(comments, mine, "your comments, and those on your posts")
    comment_of_bob_on_adas_post(ada, bob, posts, comments)
    assert list(personal_data.blocking()) == []
    assert account_deletion.purge(User.find("ada"))
    left = db.session.execute(select(comments.c.post_id)).all()
    assert left == ([(None,)] if rule == "SET NULL" else [])


def test_export_has_pictures_in_base64(client, ada, table, flask):
    pictures = table("own_pictures", owned_by(), Column("jpeg", LargeBinary))
    personal_data.register(pictures, of_user(pictures), "your picture")
    db.metadata.create_all(db.engine, [pictures])
    db.session.execute(pictures.insert().values(user_id=ada.id, jpeg=b"\xff\xd8\xff"))
    db.session.commit()
    client.log_in(ada)
    by_page, by_command = taken_along(client)[0], json.loads(flask("users", "export", "ada").stdout)
    assert [[row["jpeg"] for row in held["own_pictures"]] for held in (by_page, by_command)] == [["/9j/"], ["/9j/"]]


def test_tables_that_refer_to_each_other_are_deleted(app, ada, table):
    """As an album with a cover, which is one of its pictures."""
    albums = table("own_albums", owned_by("CASCADE"), Column("cover_id", Integer))
    pictures = table("own_pictures", Column("album_id", ForeignKey("own_albums.id")))
    albums.append_constraint(ForeignKeyConstraint(["cover_id"], ["own_pictures.id"], "cover", ondelete="SET NULL"))
    personal_data.register(pictures, personal_data.below(pictures.c.album_id), "your pictures")
    personal_data.register(albums, of_user(albums), "your albums")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        db.metadata.create_all(db.engine, [albums, pictures])
    db.session.execute(albums.insert().values(id=1, user_id=ada.id))
    db.session.execute(pictures.insert().values(id=1, album_id=1))
    db.session.execute(albums.update().values(cover_id=1))
    db.session.commit()
    assert list(personal_data.blocking()) == []
    assert account_deletion.purge(User.find("ada"))
    db.session.commit()
    assert not db.session.execute(select(pictures)).all()


def test_tables_below_one_without_a_key_to_users_are_reported(table):
    readers = table("own_readers", Column("contact", String))
    table("own_clicks", Column("reader_id", ForeignKey("own_readers.id")))
    assert unregistered() == set()
    personal_data.register(readers, lambda user: readers.c.contact == user.email, "what you read")
    assert personal_data.unregistered() == {"own_clicks": "own_clicks -> own_readers"}


def test_a_table_below_an_unregistered_one_says_which(app, ada, orders):
    personal_data.register(orders.Item, personal_data.below(orders.Item.order_id), "what was in each order")
    with pytest.raises(LookupError, match="Register own_orders"):
        personal_data.everything(ada)
    assert (
        "The table own_orders holds personal data (own_orders -> users). Register it"
        in app.test_cli_runner().invoke(args=["doctor"]).output
    )


@pytest.mark.extended
@pytest.mark.parametrize("first", ["app.models", "app.accounts", "app.models.own_plant"])
def test_a_table_is_registered_beside_its_model_whatever_is_imported_first(tmp_path, first):
    """A module of `app/models/`, which `app/models/__init__.py` imports like ours."""
    for name in ("app", "settings"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.py", tmp_path)
    (tmp_path / "app/models/own_plant.py").write_text(PLANT)
    with (tmp_path / "app/models/__init__.py").open("a") as package:
        package.write("from app.models.own_plant import OwnPlant as OwnPlant\n")
    program = f"import {first}\nfrom app.accounts import personal_data\nprint(personal_data.registered.values())"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert "your plants" in done.stdout, done.stderr


PLANT = """
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models import personal_data


class OwnPlant(Model):
    __tablename__ = "own_plants_beside"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))


personal_data.register(OwnPlant, lambda user: OwnPlant.owner_id == user.id, "your plants")
"""
