// Passkeys: a button or the login field has the browser create or use a passkey, and submits the form with it.

// Messages for the user. The step that failed decides which one is shown; the name of an error counts only where the
// browser or a password manager was asked for a passkey, since they report nothing else.
const HAPPENED = {
  unsupported: _("This browser doesn't support passkeys. Update it, or use another browser."),
  insecure: _("Passkeys need an encrypted connection. Open this site with https."),
  notAllowed: _("This browser doesn't allow passkeys at this address."),
  unreachable: _("We couldn't reach the server. Check your connection, then try again in a minute."),
  cancelled: {
    create: _("No passkey was created. The request was canceled or took too long. You can try again."),
    get: _("No passkey was used. The request was canceled or took too long, or this device has no passkey for this account. You can try again."),
  },
  registered: _("This device or password manager already has a passkey for your account."),
  unsuitable: _("This device can't create a passkey that works here. Set up a PIN or a screen lock, or use another device."),
  unknown: {
    create: _("The passkey couldn't be created. Try again, or use another device or password manager."),
    get: _("The passkey couldn't be used. Try again, or use another method."),
  },
};
const ORPHAN = _("Your device or password manager may have saved a passkey that wasn't added to your account. Delete it there.");
const PATIENCE = 30_000; // milliseconds for the server's answer
const CREATED = "created-passkey"; // key in sessionStorage: the passkey that was last sent to the server

let waiting; // AbortController of the request that offers passkeys in the login field

class Failure extends Error {
  static of(what, kind) {
    return new Failure(HAPPENED[what][kind] ?? HAPPENED[what]);
  }
}

// Fetch options from the server. An answer that arrives after the form was submitted is aborted: its cookie would replace
// that of the login.
async function ask(form, address, signal = AbortSignal.timeout?.(PATIENCE)) {
  let answer, said;
  try {
    const body = new URLSearchParams({ csrf_token: form.elements.csrf_token.value });
    answer = await fetch(address, { method: "POST", signal, headers: { Accept: "application/json" }, body });
    said = await answer.json();
  } catch {
    throw Failure.of("unreachable"); // no answer, or a proxy's own page
  }
  if (answer.ok && said?.challenge) return said;
  if (typeof said?.advice !== "string") throw Failure.of("unreachable"); // another server's JSON
  if (answer.status === 403) location.reload(); // not recently authenticated: the page asks for reauthentication
  throw new Failure(`${said.error}. ${said.advice}`);
}

async function run(kind, form, address, request = {}) {
  const options = await ask(form, address, request.signal);
  const host = options.rp?.id ?? options.rpId;
  if (location.hostname !== host && !location.hostname.endsWith(`.${host}`)) {
    throw new Failure(_("Passkeys can't be used at this address. Open this site at %(host)s.").replace("%(host)s", host));
  }
  try {
    const publicKey = webauthn.options(kind, options);
    return { options, credential: await navigator.credentials[kind]({ ...request, publicKey }) };
  } catch (error) {
    const failure = Failure.of(why(kind, options, error), kind);
    if (kind === "create" && failure.message === HAPPENED.unknown.create) failure.message += ` ${ORPHAN}`;
    throw failure;
  }
}

// Return the message for a browser or password manager that returned no passkey.
function why(kind, options, error) {
  const feature = `publickey-credentials-${kind}`;
  const { featurePolicy } = document; // of Chromium
  const isBlocked = featurePolicy?.features().includes(feature) && !featurePolicy.allowsFeature(feature);
  if (isBlocked || error?.name === "SecurityError") return "notAllowed";
  if (kind === "create" && error?.name === "InvalidStateError" && options.excludeCredentials?.length) return "registered";
  if (["ConstraintError", "NotSupportedError"].includes(error?.name)) return "unsuitable";
  if (["NotAllowedError", "AbortError", "TimeoutError"].includes(error?.name)) return "cancelled";
  return "unknown";
}

function fill(kind, form, { options, credential }) {
  try {
    form.elements.credential.value = JSON.stringify(webauthn.toJSON(kind, credential));
  } catch {
    const { message } = Failure.of("unknown", kind);
    throw new Failure(kind === "create" ? `${message} ${ORPHAN}` : message);
  }
  if (kind === "create") remember({ userId: options.user.id, id: webauthn.encode(credential.rawId) });
}

function send(kind, form, created) {
  fill(kind, form, created);
  form.submit();
}

function say(form, words) {
  const place = form.querySelector("[data-passkey-words]");
  place.textContent = words;
  place.hidden = !words;
}

for (const button of document.querySelectorAll("button[data-passkey]")) {
  const { form, dataset: { passkey: kind, options } } = button;
  button.hidden = false;
  button.addEventListener("click", async () => {
    say(form, "");
    if (!window.isSecureContext) return say(form, HAPPENED.insecure);
    if (!webauthn.isThere()) return say(form, HAPPENED.unsupported);
    if (kind === "create" && !form.reportValidity()) return;
    waiting?.abort();
    button.disabled = true;
    try {
      send(kind, form, await run(kind, form, options));
    } catch (failure) {
      say(form, failure instanceof Failure ? failure.message : Failure.of("unknown", kind).message);
    }
    button.disabled = false;
  });
}

// Where the username is typed, the browser may offer its passkeys. The challenge is valid for five minutes.
for (const input of document.querySelectorAll("input[autocomplete~='webauthn']")) {
  const address = input.form.querySelector("[data-passkey]").dataset.options;
  let asked = -Infinity;
  const offer = async () => {
    if (Date.now() - asked < 4 * 60 * 1000) return;
    asked = Date.now();
    waiting?.abort();
    waiting = new AbortController();
    const { signal } = waiting;
    let chosen;
    try {
      if (!await window.PublicKeyCredential?.isConditionalMediationAvailable?.() || signal.aborted) return;
      chosen = await run("get", input.form, address, { mediation: "conditional", signal });
    } catch {
      return; // the user did not ask for it
    }
    try {
      send("get", input.form, chosen);
    } catch ({ message }) {
      say(input.form, message);
    }
  };
  // A field with autofocus waits for the first sign of a user, so that loading the page alone requests nothing.
  input.addEventListener("focus", () => { if (!input.autofocus || navigator.userActivation?.hasBeenActive) offer(); });
  // Browsers also report a pointer that does not move.
  const notice = (event) => { if (event.type !== "pointermove" || event.movementX || event.movementY) offer(); };
  if (input.autofocus) for (const sign of ["pointermove", "pointerdown", "keydown"]) addEventListener(sign, notice);
  input.form.addEventListener("submit", () => waiting?.abort());
}

// After a login by password, the browser may create a passkey without asking. Otherwise a card offers one.
for (const card of document.querySelectorAll("[data-passkey-offer]")) {
  const form = card.querySelector("form");
  const create = async () => {
    if (!(await PublicKeyCredential.getClientCapabilities()).conditionalCreate) return false;
    const created = await run("create", form, card.dataset.passkeyOffer, { mediation: "conditional" });
    fill("create", form, created);
    form.elements.quietly.value = "y";
    const { type } = await fetch(form.action, { method: "POST", redirect: "manual", body: new URLSearchParams(new FormData(form)) });
    return type === "opaqueredirect"; // it was added; the next page says so
  };
  if (webauthn.isThere()) create().catch(() => false).then((done) => {
    card.hidden = done;
    form.elements.quietly.value = "";
  });
}

// A passkey that was created but not added is reported when the list is shown next: the server may have refused it, or a
// proxy or the browser may have shown a page of its own.
function remember(created) {
  webauthn.orNull(() => sessionStorage.setItem(CREATED, JSON.stringify(created)));
}

for (const list of document.querySelectorAll("[data-accepted]")) {
  const { removed } = list.dataset;
  const accepted = JSON.parse(list.dataset.accepted);
  const created = webauthn.orNull(() => JSON.parse(sessionStorage.getItem(CREATED)));
  webauthn.orNull(() => sessionStorage.removeItem(CREATED));
  const isOrphan = created?.userId === accepted.userId && !accepted.allAcceptedCredentialIds.includes(created.id);
  if (isOrphan) say(list, ORPHAN);
  for (const credentialId of [removed, isOrphan && created.id].filter(Boolean)) {
    webauthn.signal("signalUnknownCredential", { rpId: accepted.rpId, credentialId });
  }
  if (removed) webauthn.signal("signalAllAcceptedCredentials", accepted);
}

for (const { dataset } of document.querySelectorAll("[data-passkey-user]")) {
  webauthn.signal("signalCurrentUserDetails", JSON.parse(dataset.passkeyUser));
}

for (const { dataset } of document.querySelectorAll("form[data-unknown-passkey]")) {
  webauthn.signal("signalUnknownCredential", JSON.parse(dataset.unknownPasskey));
}
