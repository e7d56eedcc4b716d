"""Explain the answers of mail servers and token endpoints: what they mean, and what to do about them.

The sentences are the same wherever an answer is shown: by `flask doctor`, `flask mail` and the administration pages.
"""

import re
import smtplib
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """The cause of an answer and its remedy, a sentence or two each."""

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}"


MAX_ANSWER = 500  # characters of an answer that are kept and read
PORTS = "Set MAIL_PORT=587 and MAIL_USE_TLS=1, or MAIL_PORT=465 and MAIL_USE_SSL=1."
RETRIED = "Nothing to do: the email is retried automatically."
LIMITED = "The email is retried automatically unless the answer starts with 5. Ask the provider for more."
REFUSED = "The answer has the reason. Then: flask mail retry --all"

# The first pattern that an answer has, in any case, explains it.
# fmt: off
ANSWERS: list[tuple[str, str, str]] = [
    # The token endpoint of MAIL_OAUTH_TOKEN_URL
    (r"token endpoint gives no token", "MAIL_OAUTH_TOKEN_URL gives no valid answer.",
     "Is it right, and can this machine reach it?"),
    (r"invalid_client|AADSTS70002(15|22)|unauthorized_client|AADSTS700016", "The token endpoint refuses the client.",
     "Are MAIL_OAUTH_CLIENT_ID and MAIL_OAUTH_CLIENT_SECRET right, the secret unexpired, and the consent given?"),
    (r"invalid_(scope|grant)|AADSTS(70011|1002012|9000[23])", "The token endpoint refuses the scope or the tenant.",
     "Are they as in docs/email.md? Is MAIL_USERNAME an account of that tenant, and this machine's clock right?"),

    # No connection
    (r"wrong.version.number|record.layer.failure", "The port and the kind of TLS don't match.", PORTS),
    (r"timed out|TimeoutError|unreachable|No route to host", "The mail server doesn't answer.",
     "Are MAIL_SERVER and MAIL_PORT right? Many hosts block ports 25, 465 and 587: ask yours, or try port 2525."
     " On port 465, set MAIL_USE_SSL=1."),
    (r"unexpectedly closed|reset by peer|EOF occurred", "The mail server hung up without an answer.",
     "On port 465, set MAIL_USE_SSL=1. Otherwise its log has the reason: it may refuse this machine's IP address."),
    (r"Connection refused", "No mail server runs at this address and port.",
     f"Are MAIL_SERVER and MAIL_PORT right? {PORTS}"),
    (r"Name or service not known|nodename nor|getaddrinfo|No address associated|name resolution",
     "The name in MAIL_SERVER can't be found.", "Is it written correctly, and can this machine look up names (DNS)?"),
    (r"(host ?name|IP address) mismatch", "The mail server's certificate is for another name.",
     "Set MAIL_SERVER to a name in its certificate."),
    (r"certificate has expired", "The mail server's certificate has expired.",
     "Renew it, or ask the provider to. Is the clock of this machine right?"),
    (r"certificate.verify.failed|self.signed", "This machine doesn't trust the mail server's certificate.",
     "Its certificate must be signed by an authority that this machine trusts (SSL_CERT_FILE can add yours)."),
    (r"^(?!\d).*STARTTLS|password is not sent without TLS", "The mail server offers no STARTTLS, or it isn't used.",
     f"{PORTS} Only for a server on this machine: MAIL_USE_TLS=0, without a password."),
    (r"^(?!\d).*(AUTH ext|authentication method)|^504|5\.7\.4\b", "The mail server doesn't offer this login.",
     f"{PORTS} If it needs no login, remove MAIL_USERNAME and MAIL_PASSWORD."),

    # Login
    (r"SmtpClientAuthentication", "Microsoft 365 has SMTP AUTH turned off for this mailbox or organization.",
     "In its admin center, open the user, Mail, Manage email apps, and turn on Authenticated SMTP. See docs/email.md."),
    (r"XOAUTH2", "The mail server refuses the OAuth token.",
     "May the application send as MAIL_USERNAME? docs/email.md has the permissions that Microsoft and Google require."),
    (r"5\.7\.139|5\.7\.30\b|basic authentication is (disabled|not supported)", "Microsoft 365 refuses this password.",
     "Is it right? Microsoft is turning passwords off: log in with OAuth (MAIL_OAUTH_TOKEN_URL; docs/email.md)."),
    (r"5\.7\.9\b|5\.7\.14\b|application-specific password|BadCredentials", "Google refuses this password.",
     "It must be an app password: create one at https://myaccount.google.com/apppasswords for MAIL_PASSWORD."),
    (r"^525|unauthorized IP", "The provider doesn't know the IP address of this machine.",
     "Add it to the authorized addresses in the provider's security settings."),
    (r"^53\d.*STARTTLS", "The mail server requires TLS first.", PORTS),
    (r"^53[458]|5\.7\.8|auth\w* (failed|unsuccessful)", "The mail server refuses MAIL_USERNAME or MAIL_PASSWORD.",
     "Are both right? Providers often want an SMTP user and key of their own, not those of the account."),
    (r"^530|5\.7\.57", "The mail server requires a login first.", "Set MAIL_USERNAME and MAIL_PASSWORD."),

    # The sender
    (r"SendAsDenied|5\.7\.60|5\.1\.8\b|send as|not owned by|sender address",
     "The login isn't allowed to send as MAIL_SENDER.",
     "Set MAIL_SENDER to the address of the login, or allow the login at the provider to send as MAIL_SENDER."),
    (r"not verified|verify (the|your) domain|sender signature|accounts are for test|not activated|pending approval",
     "The provider hasn't verified the sender, or the account is still limited.",
     "Verify the domain of MAIL_SENDER in the provider's console, and ask the provider to activate the account."),
    (r"5\.7\.(2[0-9]|509|515)\b|\b(SPF|DKIM|DMARC)\b|unauthenticated (e?mail|sender)",
     "The recipient's server finds no proof that MAIL_SENDER's domain allows this mail server (SPF, DKIM, DMARC).",
     "Add the DNS records that the provider shows for the domain of MAIL_SENDER."),
    (r"relay(ing)? (access )?(denied|not permitted|prohibited)|(unable|not allowed) to relay|5\.7\.64",
     "The mail server doesn't accept emails to other domains from this machine.",
     "Log in (MAIL_USERNAME, MAIL_PASSWORD), or let the server relay for this machine (Postfix: mynetworks)."),

    # The recipient, the message and limits
    (r"[45]\.2\.2\b|mailbox (is )?full|over.?quota|quota exceeded", "The recipient's mailbox is full.",
     "Nothing to do here: the recipient must make room."),
    (r"5\.4\.5\b|limit|throttl|too (many|much)|(sending|unusual) rate|^432|exceeded",
     "A limit of the provider has been reached.",
     LIMITED),
    (r"^4\d\d", "The mail server can't accept the email now, or waits for a second attempt.", RETRIED),
    (r"5\.1\.[012]\b|5\.1\.10|(user|recipient).*(unknown|not found|rejected)|(unknown|no such) (user|recipient)"
     r"|does not exist|mailbox (unavailable|not found)|domain not found", "The recipient's address doesn't exist.",
     "Is the address right? For an account: flask users set-email. For an invitation: invite the right address."),
    (r"block.?list|black.?list|spamhaus|\b(DNSBL|RBL)\b|reputation|banned|5\.7\.(6\d\d|7\d\d|511)",
     "The recipient's server blocks the IP address that sent the email.",
     "Ask to be removed from the list that the answer names, or send through a provider (docs/email.md)."),
    (r"^5.*(spam|content|virus|policy)|5\.7\.1\b", "The mail server considers the email spam, or a rule forbids it.",
     "Add SPF, DKIM and DMARC records for MAIL_SENDER's domain, and ask that server's administrator about the rule."),
    (r"^5\d\d", "The mail server refuses the email.", REFUSED),
]
# fmt: on


def explain(answer: str | BaseException) -> Explanation | None:
    """Return what an answer or an error means, and what helps; None if that is unknown."""
    text = (answer if isinstance(answer, str) else answer_of(answer)[1])[:MAX_ANSWER]
    return next((Explanation(*texts) for pattern, *texts in ANSWERS if re.search(pattern, text, re.IGNORECASE)), None)


def answer_of(error: BaseException) -> tuple[int, str]:
    """Return the code and the text of the mail server's answer in one line, or 0 and the error if there is none."""
    code, text = 0, str(error) or type(error).__name__
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, said)] = error.recipients.values()
        text = f"{code} {decoded(said)}"
    elif isinstance(error, smtplib.SMTPResponseException):
        code, text = error.smtp_code, f"{error.smtp_code} {decoded(error.smtp_error)}"
    return code, one_line(text)


def decoded(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text


def one_line(text: str) -> str:
    """Replace the characters that can't be printed."""
    return "".join(character if character.isprintable() else " " for character in text)
