"""The overview: how many accounts, logins and emails there were, and what needs attention."""

from datetime import datetime

from flask import abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app import doctor, formats
from app.accounts import jobs, statistics, totals, wording
from app.accounts.statistics import RANGES, Range
from app.accounts.user_search import Filter
from app.admin.blueprint import bp
from app.doctor import Severity
from app.switches import is_on


@bp.route("/")
def index() -> ResponseReturnValue:
    span = RANGES.get(request.args.get("range", Range.MONTH)) or abort(404)
    report, findings = statistics.report(span), doctor.findings(quick=True)
    return render_template(
        "admin/overview.html",
        problems=[finding for finding in findings if finding.severity is Severity.PROBLEM],
        recommendations=[finding for finding in findings if finding.severity is Severity.RECOMMENDATION],
        present=totals.at_present(),
        figures=_figures(),
        ranges=Range,
        shown=span,
        report=report,
        labels=[_label(start, span) for start in report.starts],
        login_method=wording.login_method,
        jobs=sorted(jobs.states(), key=lambda job: job.failed_at is None),
    )


def _figures() -> list[tuple[str, str, str]]:
    """Return the name of each present number, its words, and the URL of the page that lists what it counts."""
    groups = [("unconfirmed", Filter.UNCONFIRMED), ("two_factor", Filter.TWO_FACTOR)]
    groups = [group for group in groups if is_on({"unconfirmed": "confirmation"}.get(group[0], group[0]))]
    groups += [("deactivated", Filter.DEACTIVATED), ("to_be_deleted", Filter.TO_BE_DELETED)]
    users = [(name, group.label, url_for("admin.users", only=group)) for name, group in groups]
    waiting = ("waiting", _("Emails waiting"), url_for("admin.emails", state="waiting"))
    return [("accounts", _("Accounts"), url_for("admin.users")), *users, waiting]


def _label(start: datetime, span: Range) -> str:
    return formats.in_utc(start, {Range.DAY: "Hm", Range.MONTH: "MMMd"}.get(span, "yMMM"))
