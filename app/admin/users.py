"""Users: the list that administrators search, its download, and the page of one user."""

from collections.abc import Iterator
from typing import Any

from flask import Response, abort, make_response, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import pgettext
from flask_login import current_user
from sqlalchemy import select
from wtforms import SelectField
from wtforms.widgets import SearchInput

from app.accounts import login_methods, login_obstacles, recovery_codes, sessions, two_factor, user_search, wording
from app.accounts.user_search import Filter, Order, Search
from app.admin import user_actions
from app.admin.blueprint import bp, choices
from app.admin.emails import STATES
from app.auth.forms import Form, TextField
from app.csv_lines import csv_lines
from app.email import reports
from app.email.smtp_answers import explain
from app.extensions import db
from app.models import AuditAction, OutboxEmail, User
from app.models.role import DEFAULT_ROLE, role_label
from app.security import audit, user_agents
from app.switches import is_on

SHOWN = 10  # devices, emails and events on a user's page
TIMES = ("created_at", "two_factor_enabled_at", "deactivated_at", "deletion_due_at")
COLUMNS = ("id", "username", "email", "confirmed", "role_name", "login_count", "language", "time_zone", *TIMES)


class UserFilter(Form):
    text = TextField(_l("Search"), widget=SearchInput(), render_kw={"placeholder": _l("Name, email, id, or IP")})
    only = SelectField(
        _l("Show"), choices=choices(_l("All users"), {group: group.label for group in Filter}), default=""
    )

    def search(self) -> Search:
        sort = request.args.get("sort", "")
        order = next((order for order in Order if order == sort), Order.NEWEST)
        return Search(self.text.data, next((group for group in Filter if group == self.only.data), None), order)


@bp.route("/users")
def users() -> ResponseReturnValue:
    form = UserFilter(request.args)
    if not form.validate():
        abort(404)
    search = form.search()
    found = user_search.page(search, request.args.get("older", ""), request.args.get("newer", ""))
    return render_template(
        "admin/users.html", form=form, search=search, page=found, columns=_columns(search), badges=badges
    )


def _columns(search: Search) -> dict[str, str]:
    """Return the titles of the columns, with the keys by which the list can be sorted unless it is searched."""
    columns = {_("Username"): "name"} if is_on("username") else {}
    columns |= {_("Email address"): "email", _("State"): "", _("Logins"): "", _("Created"): "created"}
    return dict.fromkeys(columns, "") if search.text.strip() else columns


@bp.post("/users/export")
def export_users() -> ResponseReturnValue:
    form = UserFilter(request.args)
    if not form.validate():
        abort(404)
    names = [name for name in COLUMNS if name != "username" or is_on("username")]
    rows = ([_plain(getattr(user, name)) for name in names] for user in user_search.everyone(form.search()))
    audit.record(None, AuditAction.EXPORTED, new="Users")
    db.session.commit()
    response = Response(stream_with_context(csv_lines(names, rows)), mimetype="text/csv")
    response.headers["Content-Disposition"] = "attachment; filename=users.csv"
    return response


@bp.route("/users/<int:number>")
def user(number: int) -> ResponseReturnValue:
    shown = find(number)
    sent = select(OutboxEmail).where(OutboxEmail.user_id == shown.id).order_by(OutboxEmail.id.desc())
    return render_template(
        "admin/user.html",
        user=shown,
        badges=badges(shown),
        actions=None if shown == current_user else user_actions.possible(shown),
        obstacles=login_obstacles.of(shown),
        factors=[wording.FACTORS.get(name, name) for name in two_factor.methods(shown)]
        if two_factor.is_on(shown)
        else [],
        codes_left=recovery_codes.left(shown),
        **login_methods.overview(shown),
        last_login=audit.latest(shown, AuditAction.LOGGED_IN),
        sessions=sessions.find_all(shown),
        limit=SHOWN,
        emails=db.session.scalars(sent.limit(SHOWN)).all(),
        events=audit.history(shown, 1)[0][:SHOWN],
        states=STATES,
        words={
            "device": user_agents.in_words,
            "kind": user_agents.device_kind,
            "explain": explain,
            "label": reports.label,
        },
        wording=wording,
        role_label=role_label,
    )


def find(number: int) -> User:
    """Return the user with this id, or answer that there is none, as after a deletion."""
    found = db.session.get(User, number)
    return found or abort(make_response(render_template("admin/no_user.html", number=number), 404))


def badges(user: User) -> Iterator[tuple[str, str]]:
    """Yield what is special about an account: words, and the kind of the badge."""
    states = {
        (_("Deactivated"), "bad"): not user.is_active,
        (_("To be deleted"), "bad"): user.deletion_due_at,
        (pgettext("email address", "Not confirmed"), "off"): not user.confirmed and is_on("confirmation"),
        (role_label(user.role_name), ""): user.role_name != DEFAULT_ROLE,
        (_("Two-factor"), "on"): user.has_two_factor,
    }
    return (badge for badge, is_so in states.items() if is_so)


def _plain(value: Any) -> Any:
    return value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else value
