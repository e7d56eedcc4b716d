"""Answers of mail servers are explained: what they mean, and what to do."""

import smtplib
import ssl

import pytest

from app.email.smtp_answers import PATTERNS, Explanation, explain

# As the servers write them, and a part of the cause
ANSWERS = [
    ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "don't fit together"),
    ("[SSL: RECORD_LAYER_FAILURE] record layer failure (_ssl.c:1032)", "don't fit together"),
    ("Connection unexpectedly closed", "hung up"),
    ("timed out", "doesn't answer"),
    ("[Errno 111] Connection refused", "No mail server runs"),
    ("[Errno -2] Name or service not known", "can't be found"),
    ("[Errno -3] Temporary failure in name resolution", "can't be found"),
    ("[Errno 101] Network is unreachable", "no route"),
    (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not valid for"
        " 'mail.example.com'. (_ssl.c:1006)",
        "for another name",
    ),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)", "expired"),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)", "trust"),
    ("STARTTLS extension not supported by server.", "no STARTTLS"),
    ("The password is not sent without TLS: set MAIL_USE_TLS=1.", "no STARTTLS"),
    ("SMTP AUTH extension not supported by server.", "no such login"),
    (
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit"
        " https://aka.ms/smtp_auth_disabled for more information.",
        "SMTP AUTH turned off",
    ),
    (
        "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.",
        "Microsoft 365 refuses this password",
    ),
    ("550 5.7.30 Basic authentication is not supported for Client Submission.", "Microsoft 365 refuses this password"),
    ("535 5.7.3 Authentication unsuccessful [AM0PR01CA0001.eurprd01.prod.exchangelabs.com]", "refuses MAIL_USERNAME"),
    (
        "534 5.7.9 Application-specific password required. For more information, go to 5.7.9 "
        "https://support.google.com/mail/?p=InvalidSecondFactor",
        "app password",
    ),
    ("534 5.7.14 Log in with your web browser and then try again. 5.7.14 ?p=WebLoginRequired", "unusual"),
    (
        "535 5.7.8 Username and Password not accepted. For more information, go to 5.7.8 "
        "https://support.google.com/mail/?p=BadCredentials",
        "Google refuses",
    ),
    ("525 5.7.1 Unauthorized IP address", "IP address of this machine"),
    ("530 5.7.0 Must issue a STARTTLS command first.", "wants TLS"),
    ("530 Must issue a STARTTLS command first", "wants TLS"),
    ("535 Authentication Credentials Invalid", "refuses MAIL_USERNAME"),
    ("535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", "refuses MAIL_USERNAME"),
    ("530 5.7.0 Authentication Required", "wants a login"),
    ("530 5.7.57 Client not authenticated to send mail.", "wants a login"),
    ("554 5.2.252 SendAsDenied; a@example.com not allowed to send as b@example.com", "own the sender"),
    ("553 5.7.1 <a@example.com>: Sender address rejected: not owned by user b", "own the sender"),
    ("554 Message rejected: Email address is not verified. The following identities failed", "doesn't know the sender"),
    ("550 The gmail.com domain is not verified. Please, add and verify your domain", "doesn't know the sender"),
    ("550 5.7.1 The From address is not a Sender Signature on your account", "doesn't know the sender"),
    ("554 Free accounts are for test purposes only. Please upgrade or add the address", "still limited"),
    (
        "550 5.7.26 Your email has been blocked because the sender is unauthenticated. Gmail requires all senders to"
        " authenticate with either SPF or DKIM.",
        "no proof",
    ),
    ("550 5.7.515 Access denied, sending domain doesn't meet the required authentication level.", "no proof"),
    ("554 5.7.1 <ann@example.org>: Relay access denied", "other domains"),
    ("452 4.2.2 The recipient's inbox is out of storage space.", "mailbox is full"),
    ("550 5.1.1 <ann@example.org>: Recipient address rejected: User unknown", "address doesn't exist"),
    ("550 No such recipient here", "address doesn't exist"),
    ("450 4.2.0 <ann@example.org>: Recipient address rejected: Greylisted", "second attempt"),
    ("451 4.7.1 Please try again later", "second attempt"),
    ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "blocks the IP"),
    ("550 5.4.5 Daily user sending limit exceeded.", "limit of the provider"),
    ("454 Throttling failure: Maximum sending rate exceeded.", "limit of the provider"),
    ("432 4.3.2 Concurrent connections limit exceeded.", "limit of the provider"),
    ("554 5.7.1 smells of spam", "takes the email for spam"),
    ("invalid_client: AADSTS7000215: Invalid client secret provided.", "refuses the client"),
    ("invalid_scope: AADSTS1002012: The provided value for scope is not valid.", "MAIL_OAUTH_SCOPE"),
    ("invalid_grant: Invalid JWT Signature.", "account or tenant"),
    ("421 4.3.2 Service not available", "can't take the email now"),
    ("552 5.3.4 Message size is wrong", "refuses the email"),
]


@pytest.mark.parametrize(("answer", "cause"), ANSWERS)
def test_an_answer_is_explained(answer, cause):
    explanation = explain(answer)
    assert cause in explanation.cause
    assert explanation.remedy.endswith((".", "?", "1", "set-email", "retry"))


def test_each_line_of_the_table_explains_an_answer():
    explained = {explain(answer) for answer, _ in ANSWERS}
    assert [explanation for _, explanation in PATTERNS if explanation not in explained] == []


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (smtplib.SMTPAuthenticationError(535, b"5.7.8 no\r\n5.7.8 ?p=BadCredentials"), "Google refuses"),
        (smtplib.SMTPRecipientsRefused({"ann@example.org": (550, b"5.1.1 no such user")}), "doesn't exist"),
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), "hung up"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "don't fit"),
        (TimeoutError(), "doesn't answer"),
        (ConnectionRefusedError(111, "Connection refused"), "No mail server"),
    ],
)
def test_an_error_is_explained_like_its_answer(error, cause):
    assert cause in explain(error).cause


def test_what_is_not_known_is_not_explained():
    assert explain("It can't be rendered: KeyError: 'name'") is None
    assert explain("") is None
    assert isinstance(explain("550 " + "x" * 100_000), Explanation)
