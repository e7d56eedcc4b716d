"""The blueprint of the administration pages, with the guard that each of them passes, an owner's own pages too."""

from collections.abc import Mapping
from itertools import starmap
from typing import Any
from urllib.parse import urlencode

from flask import current_app, flash, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its types

from app.accounts import two_factor
from app.auth.access import admin_required, reauthentication_required
from app.auth.account_state import hold_back
from app.auth.settings_pages import SettingsPage
from app.models import Actor
from app.request_state import state
from app.security import audit
from app.switches import SwitchedBlueprint, is_on

bp = SwitchedBlueprint("admin", __name__, url_prefix="/admin")

ADMIN_PAGES = [  # an owner appends another one
    SettingsPage("admin.index", "chart", _l("Overview")),
    SettingsPage("admin.users", "users", _l("Users")),
    SettingsPage("admin.emails", "mail", _l("Emails")),
    SettingsPage("admin.events", "history", _l("Events")),
    SettingsPage("admin.invitations", "user-plus", _l("Invitations")),
    SettingsPage("admin.blocks", "ban", _l("Blocks")),
]


@bp.before_request
@admin_required
def guard() -> Any:
    """Require an administrator with two-factor authentication who authenticated within the last 15 minutes.

    Where TWO_FACTOR is off, accounts have no two-factor authentication, and the reauthentication has to suffice. A
    token can't authenticate again, so no program that has one comes here.
    """
    if is_on("two_factor") and not two_factor.is_on(current_user):
        flash(_("Set up two-factor authentication first. The administration pages require it."), "info")
        return hold_back("auth.two_factor")
    return _begin()


@reauthentication_required
def _begin() -> Any:
    if request.method == "POST":
        state.until_teardown.enter_context(audit.acting_as(Actor.ADMINISTRATOR, current_user))


@bp.teardown_request
def end(error: BaseException | None) -> None:
    state.until_teardown.close()


@bp.app_template_global("admin_pages")
def shown() -> list[SettingsPage]:
    return [page for page in ADMIN_PAGES if page.endpoint in current_app.view_functions]


@bp.app_template_global()
def query(**changes: Any) -> str:
    """Return this page's query with some arguments changed, or without those that are None, as a relative URL."""
    arguments = request.args.to_dict() | changes
    return f"?{urlencode({name: value for name, value in arguments.items() if value not in (None, '')})}"


@bp.app_template_global()
def user_url(number: int) -> str:
    return url_for("admin.user", number=number)


def choices(everything: str, words: Mapping[Any, str]) -> list[Any]:
    """Return the choices of a filter: `everything` in words, then these values."""
    return [SelectChoice("", everything), *starmap(SelectChoice, words.items())]


def confirm(title: str, words: str, button: str, back: str, style: str = "btn-danger") -> str:
    """Render the page that asks before an action; its button posts to this URL.

    Args:
        back: the URL that "Cancel" leads to.
    """
    below = [page.endpoint for page in shown() if request.path.startswith(f"/{page.endpoint.replace('.', '/')}/")]
    page = {"title": title, "words": words, "button": button, "back": back, "style": style}
    return render_template("admin/confirm.html", **page, section=below[0] if below else None)
