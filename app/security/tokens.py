"""Resolve emailed tokens: verify the signature once, find the user and compare the state."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement

from app.extensions import db
from app.models import User
from app.security import signing
from app.security.signing import Claims
from app.security.token_purposes import TokenPurpose


@dataclass(frozen=True)
class Token:
    """A token whose signature is valid, and the user it was issued for."""

    user: User
    claims: Claims

    @property
    def is_spent(self) -> bool:
        """Return whether the token has expired or was used, or a column that it depends on has changed."""
        return self.claims.is_expired() or not self.user.owns(self.claims)

    def consume(self, *conditions: ColumnElement[bool], **changes: Any) -> bool:
        """Make the token's changes once; return False if another request was faster."""
        return not self.is_spent and self.user.consume(self.claims.purpose, *conditions, **changes)


def resolve(token: str, *purposes: TokenPurpose, even_if_spent: bool = False) -> Token | None:
    """Return the token if it is valid for one of these purposes, else None.

    Args:
        even_if_spent: also return a genuine token that no longer works, so that a page can say why. Check `is_spent`.
    """
    claims = signing.verify(token, *purposes, even_if_expired=even_if_spent)
    user = claims and db.session.get(User, claims.subject)
    if not claims or not user:
        return None
    resolved = Token(user, claims)
    return resolved if even_if_spent or not resolved.is_spent else None
