"""Passkeys in a real browser with a virtual authenticator."""

import re

import pytest
from sqlalchemy import delete, select, update
from support.browsing import NOT_THE_DEVELOPERS, open_development_pages
from support.clients import PASSWORD
from support.devices import Device
from support.passkeys import text
from support.routes import our_rules
from support.tour import email, fill_in
from support.waiting import until

from app.extensions import db
from app.models import RemovedCredential, User, UserSession

pytestmark = pytest.mark.extended

ADDED = "You can now log in with it."
UNREACHABLE = "We couldn't reach the server."
ORPHAN = "may have saved a passkey that wasn't added to your account. Delete it there."

# What Bitwarden, 1Password and others return: an object of their own that calls itself a PublicKeyCredential. The
# browser's methods and getters throw "Illegal invocation" on it, and its bytes may be part of a larger buffer.
PASSWORD_MANAGER = """
for (const kind of ["create", "get"]) {
  const ask = navigator.credentials[kind].bind(navigator.credentials);
  const bytes = (buffer) => {
    const larger = new Uint8Array(buffer.byteLength + 3);
    larger.set(new Uint8Array(buffer), 2);
    return larger.subarray(2, -1);
  };
  navigator.credentials[kind] = async (request) => {
    const real = await ask(request);
    const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
    const own = parts.map((part) => [part, { value: real.response[part] && bytes(real.response[part]) }]);
    const response = Object.create(Object.getPrototypeOf(real.response), Object.fromEntries(own));
    const values = { id: real.id, rawId: bytes(real.rawId), type: real.type, response };
    const credential = Object.create(
      PublicKeyCredential.prototype,
      Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }])),
    );
    try { credential.toJSON(); window.reached = true; } catch { return credential; }
  };
}
"""
SAFARI_17 = """
for (const name of Object.getOwnPropertyNames(PublicKeyCredential)) if (/^parse|^signal|Capab/.test(name)) {
  delete PublicKeyCredential[name];
}
delete PublicKeyCredential.prototype.toJSON;
delete AbortSignal.timeout;
"""


@pytest.fixture
def device(page):
    return Device(page)


@pytest.fixture
def elsewhere(browser, live, page):
    """Another browser, with an authenticator of its own."""
    context = browser.new_context(base_url=live)
    open_development_pages(context, live)
    context.set_default_timeout(60_000)
    yield Device(context.new_page())
    context.close()


def session_cookie(page):
    return next(cookie for cookie in page.context.cookies() if cookie["name"].startswith("flasky-session"))


def log_in(page, name="ada"):
    page.goto("/auth/login")
    fill_in(page, "Log in", {"Email or username": name, "Password": PASSWORD})


def log_out(page):
    page.goto("/auth/logout")
    page.locator("main").get_by_role("button", name="Log out").click()
    page.get_by_text("You have been logged out.").wait_for()


def add(page, name="My laptop"):
    page.goto("/auth/passkeys")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Add a passkey").click()


def prove(page):
    """Prove both factors by a passkey, to add another one."""
    page.goto("/auth/passkeys/add")
    sees(page, "Confirm it's you")
    use(page)


def use(page):
    page.locator("[data-passkey=get]").click()


def remove(page):
    """From a passkey's own page."""
    page.get_by_role("link", name="Remove passkey").click()
    sees(page, "Confirm it's you")
    use(page)
    page.get_by_role("button", name="Remove passkey").click()


def sees(page, words):
    page.get_by_text(words).first.wait_for()


@pytest.fixture
def owner(ada, page, device):
    """Ada's browser, where she is logged in, has added a passkey, and requires it after her password."""
    log_in(page)
    add(page)
    sees(page, ADDED)
    page.goto("/auth/two-factor")
    page.get_by_role("link", name="Require a passkey", exact=True).click()
    page.get_by_role("button", name="Require a passkey", exact=True).click()
    page.get_by_role("link", name="I've saved my recovery codes").click()
    sees(page, "10 codes left")
    return page


def test_a_passkey_logs_in_without_a_username(owner, device):
    [key] = device.keys()
    assert (key["isResidentCredential"], key["rpId"]) == (True, "localhost")
    log_out(owner)
    owner.goto("/auth/login?next=/auth/history")
    owner.get_by_label("Keep me logged in").check()
    use(owner)
    sees(owner, "What happened in your account")
    assert session_cookie(owner)["expires"] > 0
    owner.goto("/auth/passkeys")
    sees(owner, "last used")


def test_registration_with_a_passkey_needs_no_password(app, page, device):
    page.goto("/auth/register")
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_role("button", name="Use a passkey instead").click()
    sees(page, "We sent a link and a code to")
    email("Confirm email address")(page)
    page.frame_locator("iframe").get_by_role("link", name="Confirm email address").click()
    sees(page, "Your account has no password.")
    page.get_by_role("button", name="Add a passkey").click()
    sees(page, ADDED)
    log_out(page)
    page.goto("/auth/login")
    use(page)
    sees(page, "Hello, eve!")


def test_the_home_page_logs_in_with_a_passkey(owner):
    log_out(owner)
    owner.goto("/")
    use(owner)
    sees(owner, "Hello, ada!")


def test_the_browser_offers_passkeys_in_the_username_field(owner, device, elsewhere):
    [key] = device.keys()
    page = elsewhere.page.context.new_page()  # where nothing stands in for the browser's list
    Device(page, init="").take(key)
    page.goto("/?next=/auth/devices")
    page.get_by_label("Keep me logged in").check()
    page.get_by_label("Email or username").focus()
    sees(page, "Where you're logged in")
    assert session_cookie(page)["expires"] > 0


def focus_the_form(page):
    page.get_by_label("Email or username").focus()


def move_the_mouse(page):
    page.mouse.move(10, 10)
    page.mouse.move(20, 20)


@pytest.mark.parametrize(("address", "use_it"), [("/", focus_the_form), ("/auth/login", move_the_mouse)])
def test_a_page_requests_no_passkey_challenge_before_it_is_used(page, live, address, use_it):
    asked = []
    page.on("request", lambda request: request.method == "POST" and asked.append(request.url))
    page.goto(address, wait_until="networkidle")
    assert asked == []
    if page.evaluate("PublicKeyCredential.isConditionalMediationAvailable()"):
        with page.expect_request("**/request-options/log_in"):
            use_it(page)


def test_a_passkey_reauthenticates_while_a_form_waits(owner):
    owner.goto("/auth/change-username")
    owner.get_by_label("Username").fill("countess")
    db.session.execute(update(UserSession).values(authenticated_at=None))
    db.session.commit()
    owner.get_by_role("button", name="Change username").click()
    sees(owner, "Confirm it's you")
    use(owner)
    owner.get_by_role("button", name="Send again").click()
    sees(owner, "Your username was changed.")


def test_adding_a_passkey_long_after_login_reauthenticates_first(ada, page, device):
    log_in(page)
    page.goto("/auth/passkeys")
    db.session.execute(update(UserSession).values(authenticated_at=None))
    db.session.commit()
    page.get_by_role("button", name="Add a passkey").click()
    sees(page, "Confirm it's you")
    fill_in(page, "Continue", {"Password": PASSWORD})
    sees(page, "Add a passkey")


def test_an_expired_reauthentication_is_asked_for_again(owner):
    prove(owner)
    owner.get_by_role("button", name="Add a passkey").wait_for()
    db.session.execute(update(UserSession).values(both_factors_at=None))
    db.session.commit()
    owner.get_by_role("button", name="Add a passkey").click()
    owner.get_by_role("link", name="Add a passkey").click()
    sees(owner, "Confirm it's you")


def test_a_device_is_not_added_twice_as_a_passkey(owner, device):
    prove(owner)
    owner.get_by_role("button", name="Add a passkey").click()
    sees(owner, "This device or password manager already has a passkey for your account.")
    assert len(device.keys()) == 1


def test_a_copied_passkey_logs_in_once_at_most_and_the_owner_is_emailed(owner, device, elsewhere):
    elsewhere.take(device.keys()[0])
    elsewhere.page.goto("/auth/login")
    use(elsewhere.page)
    sees(elsewhere.page, "Hello, ada!")
    log_out(owner)
    owner.goto("/auth/login")
    use(owner)
    sees(owner, "That passkey wasn't accepted.")
    email("Manage my passkeys")(owner)
    sees(owner, "may have been copied")


def test_a_passkey_without_user_verification_is_refused(owner, device):
    log_out(owner)
    device.tell("setUserVerified", isUserVerified=False)
    owner.goto("/auth/login")
    use(owner)
    sees(
        owner,
        "No passkey was used. The request was canceled or took too long, or this device has no passkey",
    )
    device.tell("setUserVerified", isUserVerified=True)
    use(owner)
    sees(owner, "Hello, ada!")


def test_a_cancelled_passkey_prompt_can_be_repeated(owner):
    """As by whoever closes the browser's own window."""
    log_out(owner)
    owner.goto("/auth/login")
    fail_with(owner, "get", "new DOMException('', 'NotAllowedError')")
    use(owner)
    sees(owner, "was canceled")
    owner.evaluate("delete navigator.credentials.get")
    use(owner)
    sees(owner, "Hello, ada!")


def test_two_factor_refuses_a_passkey_of_another_account(owner, device, elsewhere, bob):
    bob.confirmed = True
    db.session.commit()
    log_in(elsewhere.page, "bob")
    add(elsewhere.page)
    sees(elsewhere.page, ADDED)
    log_out(elsewhere.page)
    log_in(elsewhere.page, "ada")
    sees(elsewhere.page, "Use your passkey")
    use(elsewhere.page)
    sees(elsewhere.page, "No passkey was used")


def test_a_passkey_of_another_origin_is_refused(app, owner, monkeypatch):
    log_out(owner)
    here = app.config["PUBLIC_URL"]
    try:  # the page is another origin's, as of a program on another port
        app.config["PUBLIC_URL"] = "http://localhost:1"
        monkeypatch.setattr("app.web.hosts.PROBES", {rule.endpoint for rule in our_rules(app)})
        owner.goto("/auth/login")
        use(owner)
        sees(owner, "That passkey wasn't accepted.")
    finally:
        app.config["PUBLIC_URL"] = here


def test_a_browser_without_passkeys_is_told(ada, page):
    page.add_init_script("delete window.PublicKeyCredential")
    page.goto("/auth/login")
    use(page)
    sees(page, "This browser doesn't support passkeys.")


def test_a_passkey_logs_in_from_a_page_whose_cookies_are_gone(owner):
    log_out(owner)
    owner.goto("/auth/login")
    owner.context.clear_cookies(name=NOT_THE_DEVELOPERS)
    use(owner)
    sees(owner, "Hello, ada!")


@pytest.mark.parametrize("context_options", [{"java_script_enabled": False}])
def test_passkey_pages_name_what_they_need_without_scripts(ada, page):
    page.goto("/auth/login")
    assert page.locator("noscript > p").is_visible()
    assert not page.get_by_role("button", name=re.compile("passkey")).is_visible()
    log_in(page)
    page.goto("/auth/passkeys")
    assert page.locator("noscript > p").is_visible()
    assert not page.get_by_role("button", name=re.compile("passkey")).is_visible()


# Password managers, older browsers, and all that can go wrong


SCRIPTS = pytest.mark.parametrize("script", [PASSWORD_MANAGER, SAFARI_17], ids=["password manager", "Safari 17"])


@SCRIPTS
def test_a_passkey_is_added_and_used_without_the_browsers_credential_methods(ada, page, device, script):
    page.add_init_script(script)
    log_in(page)
    add(page)
    sees(page, ADDED)
    log_out(page)
    page.goto("/auth/login")
    use(page)
    sees(page, "Hello, ada!")
    [key] = device.keys()
    assert key["signCount"] > 1


@SCRIPTS
def test_such_browsers_use_passkeys_for_two_factor_and_reauthentication(owner, script):
    owner.add_init_script(script)
    log_out(owner)
    log_in(owner)
    sees(owner, "Use your passkey")
    use(owner)
    sees(owner, "Hello, ada!")
    db.session.execute(update(UserSession).values(authenticated_at=None))
    db.session.commit()
    owner.goto("/auth/passkeys")
    sees(owner, "Confirm it's you")
    use(owner)
    sees(owner, "Add another passkey")


def fail_with(page, kind, error):
    page.evaluate(f"() => {{ navigator.credentials.{kind} = async () => {{ throw {error} }} }}")


@pytest.fixture
def adding(ada, page, device):
    """The page where Ada can add a passkey, and its button."""
    log_in(page)
    page.goto("/auth/passkeys")
    return page, page.get_by_role("button", name="Add a passkey")


@pytest.fixture
def using(ada, page, device):
    """The page where a passkey logs in, and its button."""
    page.goto("/auth/login")
    return page, page.get_by_role("button", name="Log in with a passkey")


HTML = {"content_type": "text/html", "body": "<h1>A proxy's page</h1>"}
AWAY = {
    "a gateway's page": {"status": 502, **HTML},
    "a page of a network that asks to log in": {"status": 200, **HTML},
    "a firewall's page": {"status": 403, **HTML},
    "a load balancer's JSON": {"status": 503, "json": {"error": {"code": 503}}},
    "JSON of nobody knows what": {"status": 200, "json": None},
    "half an answer": {"status": 200, "content_type": "application/json", "body": '{"challenge": "AA'},
}


@pytest.mark.parametrize("answer", [None, *AWAY.values()], ids=["no answer", *AWAY])
@pytest.mark.parametrize("ceremony", ["adding", "using"])
def test_an_unavailable_server_is_reported_whatever_answers_instead(request, ceremony, answer):
    page, button = request.getfixturevalue(ceremony)
    page.route("**/*-options**", lambda route: route.fulfill(**answer) if answer else route.abort())
    page.route("**/*-options/**", lambda route: route.fulfill(**answer) if answer else route.abort())
    button.click()
    sees(page, UNREACHABLE)
    assert button.is_enabled()


CREATE_FAILS = {
    "new DOMException('', 'NotAllowedError')": "No passkey was created. The request was canceled",
    "new DOMException('', 'AbortError')": "No passkey was created. The request was canceled",
    "new DOMException('', 'SecurityError')": "This browser doesn't allow passkeys at this address.",
    "new DOMException('', 'ConstraintError')": "This device can't create a passkey that works here.",
    "new DOMException('', 'NotSupportedError')": "This device can't create a passkey that works here.",
    "new DOMException('', 'InvalidStateError')": "The passkey couldn't be created.",  # none was excluded
    "new TypeError('Illegal invocation')": "The passkey couldn't be created.",
    "new Error('Extension context invalidated.')": "The passkey couldn't be created.",
    "undefined": "The passkey couldn't be created.",
}


@pytest.mark.parametrize("error", CREATE_FAILS)
def test_the_reason_why_no_passkey_was_created_is_shown(adding, error):
    page, button = adding
    fail_with(page, "create", error)
    button.click()
    sees(page, CREATE_FAILS[error])
    assert page.get_by_text(ORPHAN).count() == CREATE_FAILS[error].startswith("The passkey"), "where it may have been"
    assert button.is_enabled()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("new DOMException('', 'NotAllowedError')", "No passkey was used. The request was canceled"),
        ("new DOMException('', 'SecurityError')", "This browser doesn't allow passkeys at this address."),
        ("new DOMException('', 'InvalidStateError')", "The passkey couldn't be used."),
        ("new TypeError('Illegal invocation')", "The passkey couldn't be used."),
        ("null", "The passkey couldn't be used."),
    ],
)
def test_the_reason_why_no_passkey_was_used_is_shown(using, error, words):
    page, button = using
    fail_with(page, "get", error)
    button.click()
    sees(page, words)


@pytest.mark.parametrize("what", ["null", "{}", "{rawId: 'AA', response: {}}", "{rawId: new ArrayBuffer(1)}"])
@pytest.mark.parametrize("ceremony", ["adding", "using"])
def test_a_response_that_cannot_be_read_is_not_sent(request, ceremony, what):
    page, button = request.getfixturevalue(ceremony)
    page.evaluate(f"() => {{ navigator.credentials.create = navigator.credentials.get = async () => ({what}) }}")
    button.click()
    sees(page, "The passkey couldn't be")
    assert page.get_by_text(ORPHAN).count() == (ceremony == "adding")


def test_an_unencrypted_connection_is_named_as_the_reason(ada, page):
    page.add_init_script(
        "delete window.PublicKeyCredential; Object.defineProperty(window, 'isSecureContext', { value: false })"
    )
    page.goto("/auth/login")
    use(page)
    sees(page, "Passkeys need an encrypted connection.")


def test_at_another_host_the_page_names_the_host_of_the_passkeys(using):
    page, button = using

    def elsewhere(route):
        answer = route.fetch(headers=route.request.headers | {"Sec-Fetch-Site": "same-origin"})
        route.fulfill(response=answer, json=answer.json() | {"rpId": "accounts.example.com"})

    page.route("**/request-options/**", elsewhere)
    button.click()
    sees(page, "Passkeys can't be used at this address. Open this site at accounts.example.com.")


@pytest.fixture
def signals(page):
    """What the page has told the browser about passkeys since."""
    heard = []
    page.expose_function("heard", lambda name, about: heard.append((name, about)))
    page.add_init_script(
        """
        for (const name of ["signalUnknownCredential", "signalAllAcceptedCredentials"]) {
          const real = PublicKeyCredential[name]?.bind(PublicKeyCredential);
          PublicKeyCredential[name] = async (about) => { await heard(name, about); return real?.(about); };
        }
        """
    )
    return heard


def hears(page, signals, *names):
    """Wait until the page has told the browser these things, and nothing else."""
    until(lambda: page.wait_for_timeout(20) or [name for name, _ in signals] == [*names])


def credential_ids(device):
    """As the page writes them, without padding."""
    return [key["credentialId"].replace("+", "-").replace("/", "_").rstrip("=") for key in device.keys()]


def test_a_refused_passkey_is_reported_and_signalled_as_unknown(signals, adding, device):
    page, button = adding

    def ask_something_else(route):
        answer = route.fetch(headers=route.request.headers | {"Sec-Fetch-Site": "same-origin"})  # which it leaves out
        route.fulfill(response=answer, json=answer.json() | {"challenge": "A" * 86})

    page.route("**/creation-options", ask_something_else)
    button.click()
    sees(page, "That didn't work, or it took longer than five minutes.")
    sees(page, ORPHAN)
    hears(page, signals, "signalUnknownCredential")
    [(_, said)] = signals
    assert said["rpId"] == "localhost"
    assert said["credentialId"]
    page.goto("/auth/passkeys")
    sees(page, "Add a passkey")
    assert page.get_by_text(ORPHAN).count() == 0, "said once"


def test_a_passkey_that_never_reached_the_server_is_reported_on_the_next_visit(adding, signals, device):
    page, button = adding
    page.route("**/auth/passkeys", lambda route: route.fulfill(status=502, **HTML))
    button.click()
    sees(page, "A proxy's page")
    [orphan] = credential_ids(device)
    page.unroute("**/auth/passkeys")
    page.goto("/auth/passkeys")
    sees(page, ORPHAN)
    told = ("signalUnknownCredential", {"rpId": "localhost", "credentialId": orphan})
    until(lambda: page.wait_for_timeout(20) or told in signals)


def test_an_added_passkey_is_not_reported(signals, owner, device):
    [known] = credential_ids(device)
    owner.goto("/auth/passkeys")
    sees(owner, "Add another passkey")
    assert owner.get_by_text(ORPHAN).count() == 0
    assert signals == []
    assert credential_ids(device) == [known]


def test_a_passkey_of_another_account_in_the_same_tab_is_not_reported(owner, bob, signals):
    bob.confirmed = True
    db.session.commit()
    log_out(owner)
    log_in(owner, "bob")
    owner.goto("/auth/passkeys")
    fail_with(owner, "create", "new DOMException('', 'NotAllowedError')")
    owner.get_by_role("button", name="Add a passkey").click()  # he has a user handle now
    sees(owner, "was canceled")
    owner.reload()
    sees(owner, "Add a passkey")
    assert owner.get_by_text(ORPHAN).count() == 0
    assert signals == []


def test_removal_and_failed_login_signal_the_known_passkeys(signals, owner, device):
    [removed] = credential_ids(device)
    [copy] = device.keys()
    owner.goto("/auth/passkeys")
    owner.get_by_role("link", name="Rename or remove My laptop").click()
    remove(owner)
    sees(owner, "The passkey My laptop was removed.")
    hears(owner, signals, "signalUnknownCredential", "signalAllAcceptedCredentials")
    assert signals[0][1]["credentialId"] == removed
    assert signals[1][1]["allAcceptedCredentialIds"] == []
    until(lambda: not device.keys(), "the browser takes it off the device")
    device.take(copy)
    signals.clear()
    log_out(owner)
    owner.goto("/auth/login")
    use(owner)
    sees(owner, "That passkey wasn't accepted.")
    assert signals == [], "it can be restored for a week"
    db.session.execute(delete(RemovedCredential))
    db.session.commit()
    use(owner)
    owner.wait_for_function("() => document.querySelector('[data-unknown-passkey]')")
    sees(owner, "That passkey wasn't accepted.")
    hears(owner, signals, "signalUnknownCredential")
    assert signals[0][1] == {"rpId": "localhost", "credentialId": removed}


def test_an_orphaned_passkey_is_reported_where_both_factors_are_required(signals, owner, device):
    [known] = credential_ids(device)
    owner.goto("/auth/passkeys")
    orphan = {"userId": text(db.session.scalar(select(User.passkey_handle)).encode()), "id": "AAAA"}
    owner.evaluate("created => sessionStorage.setItem('created-passkey', JSON.stringify(created))", orphan)
    owner.goto("/auth/passkeys")
    sees(owner, ORPHAN)
    assert owner.get_by_label("Name", exact=True).count() == 0, "the form is not there"
    hears(owner, signals, "signalUnknownCredential")
    assert credential_ids(device) == [known]


def test_a_browser_without_signals_gets_no_error(owner):
    errors = []
    owner.on("pageerror", lambda error: errors.append(str(error)))
    owner.add_init_script(SAFARI_17)
    owner.goto("/auth/passkeys")
    sees(owner, "Add another passkey")
    owner.add_init_script("PublicKeyCredential.signalAllAcceptedCredentials = () => { throw new TypeError() }")
    owner.goto("/auth/passkeys")
    sees(owner, "Add another passkey")
    assert errors == []
