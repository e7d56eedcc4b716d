# mypy: ignore-errors
"""What happened to an account, in its owner's words."""

from flask import abort, render_template, request
from flask_login import current_user, login_required

from app.auth.blueprint import bp
from app.security import audit, user_agents


@bp.route("/history")
@login_required
def history():
    try:
        page = int(request.args.get("page", "1"))
    except ValueError:
        abort(404)
    events, is_more = audit.history(current_user, page) if 0 < page < 10_000 else abort(404)
    if not events and page > 1:
        abort(404)
    context = {"in_words": user_agents.in_words}
    return render_template("auth/history.html", events=events, page=page, is_more=is_more, **context)
