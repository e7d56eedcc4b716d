"""EMAIL_SPECIAL_DOMAINS: email addresses in domains that are not on the public Internet."""

import contextvars

import pytest
from support.clients import PASSWORD, on_sqlite
from support.registration import FORM
from support.sso import travel

from app.accounts import registration
from app.extensions import db
from app.models import User

pytestmark = on_sqlite

CLOSED = ("local", "test", "home.arpa", "localhost", "intranet", "xn--bro-hoa")
NORMAL = """
    ada@nas.local ada@local ada@app.test ada@home.arpa ada@nas.home.arpa ada@localhost ada@intranet ada@mail.intranet
    ada@büro ada@example.com ada@local.example.com
""".split()
ADDRESSES = {address: address for address in NORMAL} | {"Ada@NAS.Local": "Ada@nas.local", "ada@xn--bro-hoa": "ada@büro"}


def register(client, email):
    return client.post("/auth/register", data=FORM | {"email": email})


@pytest.mark.parametrize("settings", [{"EMAIL_SPECIAL_DOMAINS": CLOSED}])
@pytest.mark.parametrize(("written", "kept"), ADDRESSES.items())
def test_a_configured_special_domain_is_accepted(app, written, kept):
    assert registration.normal_email(written) == kept


@pytest.mark.parametrize("settings", [{"EMAIL_SPECIAL_DOMAINS": CLOSED}])
@pytest.mark.parametrize(
    "address",
    [
        "ada@nas.invalid", "ada@server", "ada@onion", "ada@notlocal", "ada@mylocalhost", "ada@.local", "ada@nas..local",
        "ada@nas.local.", "ada@-nas.local", "ada@nas_1.local", "@local", "ada", "a b@nas.local", "ada@nas.local>",
        "Ada <ada@nas.local>", "ada@evil.example@nas.local", "=?utf-8?q?x?=@nas.local", "bob%evil.example@nas.local",
        f"{'a' * 65}@nas.local", f"ada@{'a' * 64}.local", "ada@nas.local\n", "ada@[127.0.0.1]", "ada@na s.local",
    ],
)  # fmt: skip
def test_invalid_addresses_in_a_special_domain_are_refused(app, address):
    with pytest.raises(ValueError, match=r"\w"):
        registration.normal_email(address)


@pytest.mark.parametrize("address", [address for address in ADDRESSES if not address.endswith((".com", ".intranet"))])
def test_special_domains_are_refused_by_default(app, address):
    with pytest.raises(ValueError, match=r"\w"):
        registration.normal_email(address)


@pytest.mark.parametrize("settings", [{"EMAIL_SPECIAL_DOMAINS": ("intranet",)}])
def test_forms_and_commands_accept_a_special_domain_and_email_is_sent(app, client, outbox):
    assert register(client, "eve@mail.intranet").status_code == 302
    assert outbox()[0].recipients == ["eve@mail.intranet"]
    assert client.post("/auth/change-email", data={"email": "eve@intranet", "password": PASSWORD}).status_code != 422
    runner = app.test_cli_runner(catch_exceptions=False)
    arguments = ["users", "create", "--email", "bob@intranet", "--username", "bob", "--no-input"]
    assert contextvars.Context().run(runner.invoke, args=arguments).exit_code == 0
    db.session.rollback()
    assert User.find("bob@INTRANET").username == "bob"
    assert register(app.test_client(), "eve@printer.local").status_code == 422


@pytest.mark.parametrize("settings", [{"EMAIL_SPECIAL_DOMAINS": ("intranet",)}])
def test_providers_may_send_an_address_in_a_special_domain(app, client, issuer):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    travel(client, issuer, email="vera@intranet", email_verified=True)
    assert User.find("vera@intranet").confirmed
