"""The challenges that ALTCHA's widget fetches. Making one costs less than a rate limit would."""

from flask.typing import ResponseReturnValue

from app.auth.blueprint import bp
from app.security import proof_of_work


@bp.route("/captcha")
def captcha_challenge() -> ResponseReturnValue:
    return proof_of_work.challenge()
