"""`flask db migrate` writes migrations that run up and down, on tables with rows, and drop nothing by mistake."""

import enum
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.util import CommandError
from flask_migrate import check, downgrade, migrate, upgrade
from support.clients import ROOT, on_sqlite

from app import schema
from app.database import UtcDateTime, WideId
from app.extensions import db
from app.models import User

extended = pytest.mark.extended
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Cents(sa.TypeDecorator):
    """A type of a builder's own."""

    impl = sa.Integer
    cache_ok = True


class Owner:
    """Somebody with migrations of their own, beside ours."""

    def __init__(self, folder):
        self.directory, self.number = str(folder), 0

    def has(self, *columns, name="trees", **options):
        """Say what the table is in the models from now on."""
        if name in db.metadata.tables:
            db.metadata.remove(db.metadata.tables[name])
        return sa.Table(name, db.metadata, sa.Column("id", sa.Integer, primary_key=True), *columns, **options)

    def forgets(self, name="trees"):
        db.metadata.remove(db.metadata.tables[name])

    def migrates(self):
        """Write a migration, and return what it says."""
        files = set(Path(self.directory, "versions").glob("*.py"))
        self.number += 1
        migrate(self.directory, message=f"change {self.number}")
        [file] = set(Path(self.directory, "versions").glob("*.py")) - files or [None]
        return file and file.read_text()

    def upgrades(self):
        upgrade(self.directory, revision="heads")

    def migrates_and_upgrades(self):
        said = self.migrates()
        self.upgrades()
        return said

    def downgrades(self, revision="-1"):
        downgrade(self.directory, revision=revision)

    def is_clean(self):
        check(self.directory)
        return True


@pytest.fixture
def owner(app, tmp_path):
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    known = dict(db.metadata.tables)
    head = schema.revisions()[0]
    db.session.rollback()
    owner = Owner(tmp_path / "migrations")
    yield owner
    db.session.rollback()
    db.session.remove()
    for name in db.metadata.tables.keys() - known.keys():
        db.metadata.remove(db.metadata.tables[name])
    try:
        owner.downgrades(head)
    except SystemExit:
        pytest.fail("Migrations of this test are left in the database")


def rows(name="trees"):
    db.session.rollback()
    found = [dict(row) for row in db.session.execute(sa.text(f"SELECT * FROM {name} ORDER BY id")).mappings()]
    db.session.rollback()
    return found


def plant(*names, **values):
    for name in names:
        db.session.execute(db.metadata.tables["trees"].insert().values(name=name, **values))
    db.session.commit()


def name():
    return sa.Column("name", sa.String(30), nullable=False)


def column(kind, **options):
    return lambda: [name(), sa.Column("new", kind, **options)]


def unchanged():
    return [name()]


def key_to_users():
    return [name(), sa.Column("owner_id", sa.ForeignKey("users.id", ondelete="CASCADE"))]


NEW_COLUMNS = {
    "default of the model": column(sa.Integer, default=3, nullable=False),
    "default of the database": column(sa.Integer, server_default="3", nullable=False),
    "none": column(sa.String(30), nullable=False),
    "boolean": column(sa.Boolean, default=True, nullable=False),
    "enum": column(sa.Enum(Colour, name="colour"), default=Colour.GREEN, nullable=False),
    "enum of words": column(sa.Enum("red", "green", name="colour"), nullable=False),
    "JSON": column(sa.JSON, default=dict, nullable=False),
    "moment": column(UtcDateTime, default=lambda: NOW, nullable=False),
    "moment that may be missing": column(UtcDateTime),
    "date": column(sa.Date, nullable=False),
    "number": column(sa.Numeric(10, 2), nullable=False),
    "wide": column(WideId, nullable=False, default=1),
    "UUID": column(sa.Uuid, nullable=False),
    "bytes": column(sa.LargeBinary),
    "a type of one's own": column(Cents, nullable=False, default=7),
    "foreign key": key_to_users,
    "unique": lambda: [sa.Column("name", sa.String(30), nullable=False, unique=True)],
    "index": lambda: [sa.Column("name", sa.String(30), nullable=False, index=True)],
    "index of two": lambda: [name(), sa.Index("of_two", "name", "id")],
    "longer": lambda: [sa.Column("name", sa.String(60), nullable=False)],
    "may be missing": lambda: [sa.Column("name", sa.String(30))],
}
ALWAYS = {"moment", "none"}


@pytest.mark.parametrize(
    "kind", [kind if kind in ALWAYS else pytest.param(kind, marks=extended) for kind in NEW_COLUMNS]
)
@pytest.mark.parametrize("is_gain", [True, pytest.param(False, marks=extended)])
def test_migration_changes_a_table_with_rows(owner, kind, is_gain):
    """Each kind of change, and its opposite: up, down and up again."""
    before, after = (unchanged, NEW_COLUMNS[kind]) if is_gain else (NEW_COLUMNS[kind], unchanged)
    owner.has(*before(), sqlite_autoincrement=True)
    owner.migrates_and_upgrades()
    needed = {
        c.name: c.type.enums[0] if isinstance(c.type, sa.Enum) else _some(c) for c in before()[1:] if hasattr(c, "type")
    }
    for kept in ("rose", "oak"):
        plant(kept, **{key: value for key, value in needed.items() if value is not None})
    columns = sa.inspect(db.engine).get_columns("trees")
    owner.has(*after(), sqlite_autoincrement=True)
    owner.migrates_and_upgrades()
    assert owner.is_clean()
    assert [row["name"] for row in rows()] == ["rose", "oak"]
    owner.downgrades()
    assert [row["name"] for row in rows()] == ["rose", "oak"]
    assert {c["name"] for c in sa.inspect(db.engine).get_columns("trees")} == {c["name"] for c in columns}
    owner.upgrades()
    assert owner.is_clean()
    db.session.execute(sa.select(db.metadata.tables["trees"])).all()
    db.session.rollback()
    owner.downgrades()


def _some(column):
    known = {
        "int": 1,
        "str": "x",
        "UUID": uuid.uuid4(),
        "bool": True,
        "datetime": NOW,
        "date": NOW.date(),
        "Decimal": 1,
    }
    if isinstance(column.type, sa.JSON):
        return {}
    if column.foreign_keys or column.default is not None or column.nullable:
        return None
    return known.get(column.type.python_type.__name__)


def test_migration_creates_and_drops_a_table_with_every_type(owner):
    owner.has(name(), *(make()[-1] for make in (NEW_COLUMNS["moment"], key_to_users)), sqlite_autoincrement=True)
    assert "sa.DateTime(timezone=True)" in owner.migrates_and_upgrades()
    assert owner.is_clean()
    owner.forgets()
    assert "op.drop_table('trees')" in owner.migrates_and_upgrades()
    owner.downgrades()
    assert rows() == []


@extended
def test_enum_type_of_two_tables_is_created_and_dropped_with_them(owner):
    kind = sa.Enum(Colour, name="colour")
    owner.has(name(), sa.Column("colour", kind, nullable=False))
    owner.migrates_and_upgrades()
    owner.has(name(), sa.Column("colour", kind, nullable=False), name="pots")
    owner.migrates()
    for _ in range(2):
        owner.upgrades()
        assert owner.is_clean()
        owner.downgrades("-2")


def test_column_that_becomes_not_null_gets_values(owner):
    owner.has(name(), sa.Column("place", sa.String(30)), sa.Column("pots", sa.Integer, default=4))
    owner.migrates_and_upgrades()
    plant("rose", pots=None)
    owner.has(
        name(),
        sa.Column("place", sa.String(30), nullable=False),
        sa.Column("pots", sa.Integer, default=4, nullable=False),
    )
    owner.migrates_and_upgrades()
    assert [(row["place"], row["pots"]) for row in rows()] == [("", 4)]
    assert owner.is_clean()
    owner.downgrades()


def test_renamed_column_keeps_its_values(owner):
    owner.has(name(), sa.Column("place", sa.String(30), nullable=False))
    owner.migrates_and_upgrades()
    plant("rose", place="garden")
    owner.has(name(), sa.Column("spot", sa.String(30), nullable=False))
    owner.migrates()
    file = max(Path(owner.directory, "versions").glob("*change_2.py"))
    up = "    op.alter_column('trees', 'place', new_column_name='spot')\n"
    down = "    op.alter_column('trees', 'spot', new_column_name='place')\n"
    head = file.read_text().partition("def upgrade")[0]
    file.write_text(f"{head}def upgrade():\n{up}\n\ndef downgrade():\n{down}")
    owner.upgrades()
    assert [row["spot"] for row in rows()] == ["garden"]
    assert owner.is_clean()
    owner.downgrades()
    assert [row["place"] for row in rows()] == ["garden"]


@on_sqlite
def test_recreated_table_reuses_no_id(owner, ada):
    last = User(email="eve@example.com", username="eve", password="a lantern in the fog")
    db.session.add(last)
    db.session.commit()
    used = last.id
    db.session.delete(last)
    db.session.commit()
    kind = User.__table__.c.username.type
    User.__table__.c.username.type = sa.String(80)
    try:
        assert "batch_alter_table('users'" in owner.migrates_and_upgrades()
        assert owner.is_clean()
        owner.downgrades()
    finally:
        User.__table__.c.username.type = kind
    sql = db.session.scalar(sa.text("SELECT sql FROM sqlite_master WHERE name = 'users'"))
    assert "AUTOINCREMENT" in sql
    new = User(email="eve@example.com", username="eve", password="a lantern in the fog")
    db.session.add(new)
    db.session.commit()
    assert new.id > used


@on_sqlite
def test_lost_autoincrement_is_detected_and_restored(owner):
    table = owner.has(name())
    owner.migrates_and_upgrades()
    assert owner.is_clean()
    table.dialect_options["sqlite"]["autoincrement"] = True
    with pytest.raises((CommandError, SystemExit)):
        owner.is_clean()
    plant("rose")
    assert "sqlite_autoincrement" in owner.migrates_and_upgrades()
    assert owner.is_clean()
    assert [row["name"] for row in rows()] == ["rose"]
    owner.downgrades()


def test_tables_of_other_programs_are_ignored(owner):
    """A database that is shared with another program, and an index that somebody added for their own queries."""
    with db.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE other_app (id INTEGER PRIMARY KEY, name TEXT)"))
        connection.execute(sa.text("CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT)"))
        connection.execute(sa.text("CREATE INDEX theirs ON other_app (name)"))
        connection.execute(sa.text("CREATE INDEX reports ON users (created_at)"))
        connection.execute(sa.text("ALTER TABLE users ADD COLUMN legacy_number INTEGER"))
    try:
        assert owner.is_clean()
        assert owner.migrates() is None
    finally:
        with db.engine.begin() as connection:
            for statement in ("TABLE other_app", "TABLE accounts", "INDEX reports"):
                connection.execute(sa.text(f"DROP {statement}"))
            connection.execute(sa.text("ALTER TABLE users DROP COLUMN legacy_number"))


def test_migration_file_names_do_not_collide_with_updates(owner):
    owner.has(name())
    owner.migrates()
    [file] = Path(owner.directory, "versions").glob("*change_1.py")
    assert file.name.startswith(f"{datetime.now():%Y-%m-%d}_")
