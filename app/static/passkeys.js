// Passkeys: has the browser make or use one, and sends its form with what the browser says of it.

const TOLD = {
  InvalidStateError: "This device or password manager has a passkey of your account already.",
  SecurityError: "Passkeys can't be used at this address.",
  ConstraintError: "This device can't make a passkey that asks who you are. Set up a PIN, or use another device.",
  NotSupportedError: "This device can't make a passkey that can be used here. Try another one.",
  NotAllowedError: "No passkey was used: it was cancelled, took too long, or there is none here. Try again when you like.",
  TypeError: "We could not be reached just now. Try again in a minute.",
};
const UNSUPPORTED = "This browser can't use passkeys. Update it, or use another one.";

let waiting; // for a passkey to be chosen where the name is typed

class Refused extends Error {}

// What the browser is to do, as the server says it. An answer that comes after the form was sent must not be heard:
// its cookie is a stranger's.
async function question(form, address, signal) {
  const answer = await fetch(address, {
    method: "POST",
    signal,
    headers: { Accept: "application/json" },
    body: new URLSearchParams({ csrf_token: form.elements.csrf_token.value }),
  });
  if (answer.ok) return answer.json();
  if (answer.status === 403) location.reload(); // it is long ago that one logged in: the page asks first
  const { error, advice } = await answer.json();
  throw new Refused(`${error}. ${advice}`);
}

async function use(form, address, options = {}) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await question(form, address, options.signal));
  return navigator.credentials.get({ publicKey, ...options });
}

async function make(form, address) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(await question(form, address));
  return navigator.credentials.create({ publicKey });
}

function send(form, credential) {
  form.elements.credential.value = JSON.stringify(credential);
  form.submit();
}

function say(form, words) {
  const place = form.querySelector("[data-passkey-words]");
  place.textContent = words;
  place.hidden = !words;
}

for (const button of document.querySelectorAll("button[data-passkey]")) {
  const { form, dataset: { passkey, options } } = button;
  button.hidden = false;
  button.addEventListener("click", async () => {
    say(form, "");
    if (!window.PublicKeyCredential?.parseRequestOptionsFromJSON) return say(form, UNSUPPORTED);
    if (passkey === "create" && !form.reportValidity()) return;
    waiting?.abort();
    button.disabled = true;
    try {
      send(form, await (passkey === "create" ? make : use)(form, options));
    } catch (error) {
      say(form, error instanceof Refused ? error.message : TOLD[error.name] || TOLD.NotAllowedError);
    }
    button.disabled = false;
  });
}

// Where a name is typed the browser may offer its passkeys, too. What it was asked is good for five minutes.
for (const input of document.querySelectorAll("input[autocomplete~='webauthn']")) {
  const address = input.form.querySelector("[data-passkey]").dataset.options;
  let asked = -Infinity;
  const offer = async () => {
    if (Date.now() - asked < 4 * 60 * 1000) return;
    asked = Date.now();
    waiting?.abort();
    waiting = new AbortController();
    const { signal } = waiting;
    try {
      if (!await window.PublicKeyCredential?.isConditionalMediationAvailable?.() || signal.aborted) return;
      send(input.form, await use(input.form, address, { mediation: "conditional", signal }));
    } catch {
      // nobody asked for it
    }
  };
  // Where the cursor is from the beginning, at the first sign of a person: a page that was only loaded asks for nothing.
  input.addEventListener("focus", () => { if (!input.autofocus || navigator.userActivation?.hasBeenActive) offer(); });
  // (Browsers report a pointer that rests, too.)
  const notice = (event) => { if (event.type !== "pointermove" || event.movementX || event.movementY) offer(); };
  if (input.autofocus) for (const sign of ["pointermove", "pointerdown", "keydown"]) addEventListener(sign, notice);
  input.form.addEventListener("submit", () => waiting?.abort());
}
