"""What happened to an account, in its owner's words."""

from flask import abort, render_template, request
from flask_login import current_user

from app import audit, browsers
from app.auth import gate
from app.auth.blueprint import bp


@bp.route("/history")
@gate.members_only
def history():
    try:
        page = int(request.args.get("page", "1"))
    except ValueError:
        abort(404)
    events, is_more = audit.history(current_user, page) if 0 < page < 10_000 else abort(404)
    if not events and page > 1:
        abort(404)
    context = {"words": audit.WORDS, "in_words": browsers.in_words}
    return render_template("auth/history.html", events=events, page=page, is_more=is_more, **context)
