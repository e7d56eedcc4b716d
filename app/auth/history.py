"""What happened to an account, in its owner's words."""

from flask import abort, render_template, request
from flask_login import current_user

from app import audit, browsers
from app.auth import gate
from app.auth.blueprint import bp

WORDS = {
    "registered": "You registered",
    "registered_again": "Somebody tried to register with your address",
    "confirmation_resent": "Another confirmation letter was sent",
    "confirmed": "Your address was confirmed",
    "email_corrected": "You corrected your address",
    "mailbox_proved": "You proved that the mailbox is yours; what was set up before is gone",
    "signed_in": "You logged in",
    "sign_in_failed": "Somebody tried to log in with a wrong password or passkey",
    "new_device": "It was a browser never seen on your account",
    "device_code_sent": "Your password was entered on a new device, and a code was emailed to you",
    "device_code_failed": "A wrong code was entered on a new device",
    "device_verified": "A new device was verified by the emailed code",
    "next_login_trusted": "Your next login was allowed without an emailed code",
    "next_login_trust_used": "A new device logged in without an emailed code, as allowed",
    "proved_again": "You proved once more that it is you",
    "signed_out": "You logged out",
    "signed_out_others": "You logged out your other browsers",
    "signed_out_everywhere": "You were logged out everywhere",
    "magic_link_asked": "A link to log in was asked for",
    "reset_asked": "A link to choose a new password was asked for",
    "password_reset": "A new password was chosen by a mailed link",
    "password_changed": "Your password was changed",
    "second_factor_on": "A second factor was added",
    "second_factor_off": "A second factor was removed",
    "second_factor_undone": "The second step was turned off by the letter about it",
    "second_factor_reset": "The second step was turned off",
    "second_factor_used": "You did the second step",
    "second_factor_failed": "Somebody typed a wrong code at the second step",
    "recovery_code_failed": "Somebody typed a wrong recovery code, or one that was used, at the second step",
    "recovery_codes_made": "New recovery codes were made",
    "browser_trusted": "You trusted a browser for 30 days",
    "trust_ended": "You trust a browser no more",
    "password_removed": "Your password was removed",
    "passkey_renamed": "A passkey got another name",
    "passkey_undone": "The adding of a passkey was undone",
    "passkey_copied": "A passkey was refused, because it may have been copied",
    "username_changed": "Your username was changed",
    "email_change_asked": "A change of your address was asked for",
    "email_changed": "Your address was changed",
    "email_undone": "A change of your address was undone",
    "identity_linked": "An account elsewhere was linked to yours",
    "identity_unlinked": "The link to an account elsewhere was removed",
    "exported": "Your data were downloaded",
    "deletion_asked": "You asked to have the account deleted",
    "deletion_taken_back": "You decided to keep the account",
    "deactivated": "Your account was deactivated",
    "activated": "Your account was activated again",
}


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
    context = {"words": WORDS, "in_words": browsers.in_words}
    return render_template("auth/history.html", events=events, page=page, is_more=is_more, **context)
