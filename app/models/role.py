"""Roles and permissions: what users may do, as in flasky. A role is a row with a set of permissions."""

from enum import IntFlag
from typing import Any

from flask_babel import lazy_pgettext
from sqlalchemy import ColumnElement, ForeignKey, String, event, select
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, declared_attr, mapped_column, relationship

from app.extensions import Model, db


class PermissionFlag(IntFlag):
    """The base of permissions. An application declares its own in a subclass, with values from 1 << 8."""


class Permission(PermissionFlag):
    FOLLOW = 1
    COMMENT = 2
    WRITE = 4
    MODERATE = 8
    ADMIN = 16


DEFAULT_ROLE, ADMINISTRATOR = "user", "administrator"
WRITERS = Permission.FOLLOW | Permission.COMMENT | Permission.WRITE
SEEDS = {DEFAULT_ROLE: WRITERS, "moderator": WRITERS | Permission.MODERATE, ADMINISTRATOR: ~Permission(0)}

# How pages and emails name these.
LABELS = {
    DEFAULT_ROLE: lazy_pgettext("role", "User"),
    "moderator": lazy_pgettext("role", "Moderator"),
    ADMINISTRATOR: lazy_pgettext("role", "Administrator"),
}


def role_label(name: str) -> str:
    """Return the label of a role: our own roles in the reader's language, those of an application by their names."""
    return str(LABELS.get(name) or name.capitalize())


class Role(Model):
    __tablename__ = "roles"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    permissions: Mapped[int] = mapped_column(default=0)

    @staticmethod
    def of(is_admin: bool) -> "Role":
        return db.session.get_one(Role, ADMINISTRATOR if is_admin else DEFAULT_ROLE)

    def has(self, permission: int) -> bool:
        """Return whether the role has this permission, or all of several: `WRITE | MODERATE`."""
        return self.permissions & permission == permission

    @property
    def permission_names(self) -> list[str]:
        return [flag.name or "" for kind in PermissionFlag.__subclasses__() for flag in kind if self.has(flag)]


class HasRole:
    """The role of a user. It takes effect at the next request of each session."""

    @declared_attr
    def role_name(cls) -> Mapped[str]:
        return mapped_column(ForeignKey(Role.name), default=DEFAULT_ROLE, server_default=DEFAULT_ROLE)

    @declared_attr
    def role(cls) -> Mapped[Role]:
        return relationship(Role)

    def can(self, permission: int) -> bool:
        return self.role is not None and self.role.has(permission)

    def is_administrator(self) -> bool:
        return self.can(Permission.ADMIN)

    @hybrid_property
    def is_admin(self) -> bool:
        """Whether the role has the permission ADMIN. Setting it changes the role to administrator, or back to user."""
        return self.is_administrator()

    @is_admin.inplace.setter
    def _set_admin(self, is_admin: bool) -> None:
        if is_admin != self.is_admin:
            self.role = Role.of(is_admin)

    @is_admin.inplace.expression
    @classmethod
    def _is_admin_in_sql(cls) -> ColumnElement[bool]:
        roles_of_admins = select(Role.name).where(Role.permissions.bitwise_and(Permission.ADMIN) != 0)
        return cls.role_name.in_(roles_of_admins)


@event.listens_for(Role.__table__, "after_create")
def _seed(table: Any, connection: Any, **_: object) -> None:
    """Add the roles where db.create_all() makes the tables, as the migration does."""
    connection.execute(table.insert(), [{"name": name, "permissions": flags} for name, flags in SEEDS.items()])
