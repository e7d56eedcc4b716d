"""Browsers, as their owner sees them: where one is logged in, which are trusted, and how to end that."""

from flask import abort, flash, redirect, render_template, url_for
from flask_login import current_user

from app.accounts import sessions, trusted_devices
from app.auth import gate
from app.auth.blueprint import bp
from app.extensions import db
from app.security import user_agents


@bp.route("/sessions")
@gate.reauthentication_required
def list_sessions():
    found = sessions.all_of(current_user)
    context = {"trusted": trusted_devices.all_of(current_user), "in_words": user_agents.in_words}
    return render_template("auth/sessions.html", sessions=found, **context)


@bp.route("/sessions/<handle>/end", methods=["POST"])
@gate.reauthentication_required
def end_session(handle):
    user_session = sessions.one_of(current_user, handle)
    if user_session is None:
        abort(404)
    if user_session is current_user.current_session:
        gate.log_out()
        flash("You have been logged out.", "success")
        return redirect(url_for("main.index"))
    sessions.end(user_session, reason="ended_elsewhere")
    db.session.commit()
    flash("That browser is logged out.", "success")
    return redirect(url_for("auth.list_sessions"))


@bp.route("/sessions/end-others", methods=["POST"])
@gate.reauthentication_required
def end_other_sessions():
    count = sessions.end_the_others(current_user, current_user.current_session)
    db.session.commit()
    flash(f"{count} other {'browser is' if count == 1 else 'browsers are'} logged out.", "success")
    return redirect(url_for("auth.list_sessions"))


@bp.route("/trusted/<handle>/end", methods=["POST"])
@gate.reauthentication_required
def end_trust(handle):
    if not trusted_devices.end_one(current_user, handle):
        abort(404)
    db.session.commit()
    flash("That browser is asked for two-factor authentication again.", "success")
    return redirect(url_for("auth.list_sessions"))
