"""The page on which users choose between light and dark pages."""

from flask import make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.main.views import bp
from app.web.appearance import remember
from app.web.own_urls import safe_next_url


@bp.route("/appearance", methods=["GET", "POST"])
def appearance() -> ResponseReturnValue:
    next_url = safe_next_url(request.values.get("next"))
    if request.method != "POST":
        return render_template("main/appearance.html", next_url=next_url)
    response = make_response(redirect(next_url or url_for("main.appearance")))
    remember(response, request.form.get("scheme", ""))
    return response
