"""The audit events of all users, and their export."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from operator import itemgetter
from typing import Any

from flask import Response, abort, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import Select, select
from wtforms import DateField, Field, SelectField, ValidationError
from wtforms.validators import Optional

from app import keyset
from app.accounts import wording
from app.admin.blueprint import bp, choices
from app.auth.forms import Form, TextField, stripped
from app.csv_lines import csv_lines
from app.extensions import db
from app.models import AuditAction, AuditEvent, User
from app.models.audit_action import registered
from app.security import audit, user_agents

ORDER = [AuditEvent.at, AuditEvent.id]
EXPORTED = ["id", "at", "action", "user_id", "ip", "network", "user_agent", "count", "detail"]


def actions() -> list[Any]:
    labels = {action: str(action.label) for action in registered()}
    return choices(_("All events"), dict(sorted(labels.items(), key=itemgetter(1))))


class EventFilter(Form):
    action = SelectField(_l("Event"), choices=actions, default="")
    user = TextField(_l("User"), filters=[stripped], render_kw={"placeholder": _l("Name, email, id")})
    ip = TextField(_l("IP address or network"), filters=[stripped], render_kw={"placeholder": "192.0.2.0/24"})
    since = DateField(_l("Since (UTC)"), [Optional()])
    until = DateField(_l("Until (UTC)"), [Optional()])

    def validate_user(self, field: Field) -> None:
        is_id = field.data.isascii() and field.data.isdecimal() and len(field.data) < 10
        found = db.session.get(User, int(field.data)) if is_id else User.find(field.data)
        if field.data and not found:
            raise ValidationError(_("There is no such account."))
        self.user_id = found.id if found else None

    def validate_ip(self, field: Field) -> None:
        try:
            audit.search(place=field.data)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def events(self) -> Select[Any]:
        since, until = (self._at(*moment) for moment in ((self.since.data, time.min), (self.until.data, time.max)))
        return audit.search(self.action.data, self.user_id, self.ip.data, since, until)

    def _at(self, day: date | None, moment: time) -> datetime | None:
        return datetime.combine(day, moment, UTC) if day else None


@bp.route("/events")
def events() -> ResponseReturnValue:
    form = EventFilter(request.args)
    found = keyset.Page([], "", "")
    if form.validate():
        found = keyset.page(form.events(), ORDER, request.args.get("older", ""), request.args.get("newer", ""))
    ids = {event.user_id for event in found.rows}
    users = {user.id: user for user in db.session.scalars(select(User).where(User.id.in_(ids)))}
    words = {"wording": wording, "in_words": user_agents.in_words}
    return render_template("admin/events.html", form=form, page=found, users=users, **words)


@bp.post("/events/export")
def export_events() -> ResponseReturnValue:
    form, kind = EventFilter(request.args), request.args.get("format")
    if not form.validate() or kind not in {"csv", "jsonl"}:
        abort(404)
    audit.record(None, AuditAction.EXPORTED, new="Events")
    db.session.commit()
    rows = ({name: getattr(event, name) for name in EXPORTED} for event in keyset.every(form.events(), ORDER))
    lines = _csv(rows) if kind == "csv" else (json.dumps(row, default=_plain) + "\n" for row in rows)
    response = Response(stream_with_context(lines), mimetype="text/csv" if kind == "csv" else "application/jsonl")
    response.headers["Content-Disposition"] = f"attachment; filename=events.{kind}"
    return response


def _csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    return csv_lines(EXPORTED, ([*list(row.values())[:-1], json.dumps(row["detail"])] for row in rows))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
