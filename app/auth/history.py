"""Security history: the page that lists the audit events of the account by day."""

from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

from flask import abort, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from flask_babel import lazy_pgettext
from flask_login import current_user, login_required

from app import formats
from app.accounts import wording
from app.auth.blueprint import bp
from app.models import Action
from app.models.audit_action import Topic, registered
from app.security import audit, user_agents

MAX_PAGE = 9999
LOGINS, DEVICES = {Topic.LOGIN, Topic.LOGOUT}, {Topic.DEVICE}


class Filter(NamedTuple):
    label: str
    includes: Callable[[Action], bool]


FILTERS = {
    "all": Filter(lazy_pgettext("events", "All"), lambda action: True),
    "logins": Filter(_l("Logins"), lambda action: action.topic in LOGINS),
    "devices": Filter(_l("Devices"), lambda action: action.topic in DEVICES),
    "changes": Filter(_l("Changes"), lambda action: action.topic not in LOGINS | DEVICES),
    "warnings": Filter(_l("Warnings"), lambda action: bool(action.status)),
}


@bp.route("/history")
@login_required
def history() -> ResponseReturnValue:
    page, shown = _page(), request.args.get("show", "all")
    if shown not in FILTERS:
        abort(404)
    actions = None if shown == "all" else filter(FILTERS[shown].includes, registered())
    events, is_more = audit.history(current_user, page, actions)
    if not events and page > 1:
        abort(404)
    days = [(day, list(found)) for day, found in groupby(events, key=lambda event: formats.which_day(event.at))]
    context = {"days": days, "page": page, "is_more": is_more, "filters": FILTERS, "shown": shown}
    return render_template("auth/history.html", **context, wording=wording, in_words=user_agents.in_words)


def _page() -> int:
    """Return the number of the page; abort with 404 if it is none."""
    try:
        page = int(request.args.get("page", "1"))
    except ValueError:
        abort(404)
    return page if 1 <= page <= MAX_PAGE else abort(404)
