"""The register of token purposes: the lifetime of an emailed link or code, and the columns it depends on."""

from enum import StrEnum

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600  # seconds


class TokenPurpose(StrEnum):
    """The purpose of a token or an emailed code. Rows and tokens store the value."""

    lifetime: int  # seconds
    columns: tuple[str, ...]  # of `users`; a change makes the token or code invalid
    is_code_only: bool  # a code is emailed, and no link with a token

    def __new__(
        cls, value: str, lifetime: int = HOUR, columns: tuple[str, ...] = (), is_code_only: bool = False
    ) -> "TokenPurpose":
        member = str.__new__(cls, value)
        member._value_ = value
        member.lifetime, member.columns, member.is_code_only = lifetime, columns, is_code_only
        return member

    CONFIRM = "confirm", HOUR, ("email", "confirmed")
    RESET = "reset", HOUR, ("email", "password_version")
    CHANGE_EMAIL = "change_email", HOUR, ("email", "password_version")
    MAGIC_LINK = "magic_link", 15 * MINUTE, ("email", "password_version", "login_count")
    FIRST_LOGIN = "first_login", DAY, ("email", "password_version", "login_count")
    SECURE_ACCOUNT = "secure_account", 7 * DAY  # depends on its audit event instead
    REAUTHENTICATION = "reauthentication", 15 * MINUTE, ("email", "password_version"), True
    VERIFY_DEVICE = "verify_device", 15 * MINUTE, ("email", "password_version", "two_factor_enabled_at"), True
    REGISTER = "register", HOUR  # belongs to no user: shows that the visitor reads the emails of an address
    INVITATION = "invitation", 7 * DAY  # belongs to an Invitation instead of a user
    DOCTOR = "doctor", MINUTE  # belongs to no user; `flask doctor` sends it to the server
