"""Obstacles at providers: settings that refuse an identity, and providers where every login fails."""

from datetime import timedelta

from flask import current_app
from sqlalchemy import func, select

from app import clock, switches
from app.accounts import sso
from app.accounts.login_obstacles.obstacle import Obstacle, Obstacles
from app.extensions import db
from app.models import OAuthState, User, UserSession

WINDOW, ENOUGH = timedelta(hours=1), 3  # logins, to say that none succeeds


def refused(user: User) -> Obstacles:
    identities = sso.all_of(user)
    for identity in identities:
        if problem := sso.why_refused(identity):
            yield Obstacle(f"{sso.label(identity.provider)} can't log in {user.known_as}: {problem}", "flask doctor")
    known = {identity.provider for identity in identities}
    for name, provider in current_app.config["OIDC_PROVIDERS"].items():
        begun = 0 if identities and name not in known else _failed(name)
        if begun >= ENOUGH:
            cause = (
                f"{begun} logins at {provider.label} began within an hour, and none succeeded. The log has the errors."
            )
            yield Obstacle(cause, "flask doctor")
    if not identities and not switches.is_on("registration") and not sso.is_trusted_by_any(user.email):
        yield Obstacle(f"No provider is trusted for {user.email}: OIDC_<NAME>_DOMAINS name other domains.")


def _failed(provider: str) -> int:
    """Return how many logins at a provider began lately, or 0 if one succeeded."""
    since = clock.now() - WINDOW
    begun = select(func.count()).where(OAuthState.provider == provider, OAuthState.started_at > since)
    done = select(func.count()).where(UserSession.method == f"sso:{provider}", UserSession.created_at > since)
    begins, successes = db.session.execute(select(begun.scalar_subquery(), done.scalar_subquery())).one()
    return 0 if successes else int(begins)
