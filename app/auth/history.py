"""Security history: the page that lists the audit events of the account."""

from flask import abort, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from app.auth.blueprint import bp
from app.security import audit, user_agents

MAX_PAGE = 9999


@bp.route("/history")
@login_required
def history() -> ResponseReturnValue:
    try:
        page = int(request.args.get("page", "1"))
    except ValueError:
        abort(404)
    if not 1 <= page <= MAX_PAGE:
        abort(404)
    events, is_more = audit.history(current_user, page)
    if not events and page > 1:
        abort(404)
    context = {"events": events, "page": page, "is_more": is_more}
    return render_template("auth/history.html", **context, in_words=user_agents.in_words)
