// Enhancements. Every page works without them.

// Texts are marked with _("…"). The server puts their translations before this script (app/web/static_assets.py).
const _ = (globalThis.gettext = (text) => globalThis.translations?.[text] ?? text);

// Submit a form once, however often its button is clicked, and show that it is busy.
document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  if (form.dataset.sent) event.preventDefault();
  if ("again" in form.dataset || event.defaultPrevented) return; // a download leaves the page open
  form.dataset.sent = "yes";
  submitter?.setAttribute("aria-busy", "true");
});
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
  for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
});

// A message can be dismissed.
for (const flash of document.querySelectorAll(".flash")) {
  const button = document.createElement("button");
  Object.assign(button, { className: "close", type: "button", textContent: "✕" });
  button.setAttribute("aria-label", _("Dismiss this message"));
  button.addEventListener("click", () => flash.remove());
  flash.append(button);
}

// Close the menu on a click outside of it, and on Escape.
for (const menu of document.querySelectorAll("details.menu")) {
  document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// Nobody has to type a password twice if it can be shown.
for (const again of document.querySelectorAll("input[name=confirm_password]")) {
  const { form } = again;
  (again.closest(".mb-3") ?? again).hidden = true;
  again.required = false;
  form.addEventListener("submit", () => { again.value = form.elements.password.value; });
}

// A button shows the password while it is typed.
for (const input of document.querySelectorAll('input[type="password"]')) {
  const box = document.createElement("div");
  const button = document.createElement("button");
  const show = (shown) => {
    input.type = shown ? "text" : "password";
    button.textContent = shown ? _("Hide") : _("Show");
    button.setAttribute("aria-label", shown ? _("Hide what is typed") : _("Show what is typed"));
  };
  box.className = "revealed";
  button.type = "button";
  button.setAttribute("aria-controls", input.id);
  button.addEventListener("click", () => show(input.type === "password"));
  input.form.addEventListener("submit", () => show(false));
  input.replaceWith(box);
  box.append(input, button);
  show(false);
  if (input.autofocus) input.focus();
}

// Show whether a new password is long enough. The server judges the rest, by lists that are too long to send.
for (const input of document.querySelectorAll("input[data-shortest]")) {
  const shortest = Number(input.dataset.shortest);
  const meter = document.createElement("meter");
  const words = document.createElement("div");
  Object.assign(meter, { max: 2 * shortest, low: shortest, high: 1.5 * shortest, optimum: 2 * shortest, hidden: true });
  meter.setAttribute("aria-label", _("Length of the password"));
  words.className = "form-text";
  words.setAttribute("role", "status");
  input.addEventListener("input", () => {
    const { length } = [...input.value];
    const long = length < meter.high ? _("Long enough. A longer one is stronger.") : _("Good length.");
    meter.hidden = !length;
    meter.value = length;
    words.textContent = length && (length < shortest ? _("Too short.") : long);
  });
  input.closest(".revealed").after(meter, words);
}

// A one-time code is sent at its last digit. Digits of a wrong one can be corrected first: then the button sends it.
for (const input of document.querySelectorAll("input[data-code]")) {
  const { form } = input;
  let isWhole = !input.value; // typed from its start, or pasted
  input.addEventListener("input", ({ inputType }) => {
    isWhole ||= input.value.length < 2 || inputType === "insertFromPaste";
    const code = input.value.replace(/[\s-]/g, "");
    if (!isWhole || /\D/.test(code) || code.length !== Number(input.dataset.code) || !form.checkValidity()) return;
    isWhole = false;
    form.requestSubmit(form.querySelector("button:not([type=button])"));
  });
}

// Tell the server the browser's time zone. While it is unknown, show times in that zone, in the server's style.
for (const input of document.querySelectorAll("input[name=time_zone]")) input.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
{
  const { moment } = document.body.dataset;
  const locale = `${document.documentElement.lang.replace(/^en$/, "en-GB")}-u-ca-gregory-nu-latn`;
  for (const time of moment ? document.querySelectorAll("main time") : []) {
    const at = new Date(time.dateTime);
    const day = at.toLocaleDateString(locale, { dateStyle: "long" });
    const clock = at.toLocaleTimeString(locale, { hour: "numeric", minute: "2-digit", timeZoneName: "short" });
    const local = () => ("clock" in time.dataset ? clock : moment.replace("{1}", day).replace("{0}", clock));
    if (time.title) time.title = local();
    else if (time.textContent.includes("UTC")) [time.title, time.textContent] = [time.textContent, local()];
  }
}

// Buttons copy a text, which screen readers are told, and print the page.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const label = button.lastChild, text = label.data, status = document.createElement("span");
  status.className = "visually-hidden";
  status.setAttribute("role", "status");
  button.after(status);
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const said = await navigator.clipboard.writeText(button.dataset.copy).then(() => _("Copied"), () => _("Couldn't copy"));
    label.data = status.textContent = said;
    setTimeout(() => { label.data = text; status.textContent = ""; }, 3000);
  });
}
for (const button of document.querySelectorAll("button[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// On a phone, the settings navigation is a row that scrolls: show the current page's item.
const tab = document.querySelector(".side [aria-current]");
if (tab) {
  const { parentElement: row, offsetLeft: left } = tab;
  const fromRight = left + tab.offsetWidth - row.offsetLeft - row.clientWidth + 20; // negative, as where one scrolls to the left
  row.scrollLeft = document.dir === "rtl" ? fromRight : left - row.offsetLeft - 20;
}

// A button that becomes usable after some seconds counts them down.
for (const button of document.querySelectorAll("button[data-wait]")) {
  const label = button.textContent;
  const end = Date.now() + Number(button.dataset.wait) * 1000;
  const tick = () => {
    const left = Math.ceil((end - Date.now()) / 1000);
    button.disabled = left > 0;
    const [number, unit] = left <= 90 ? [left, "second"] : left <= 5400 ? [left / 60, "minute"] : [left / 3600, "hour"];
    const words = Math.ceil(number).toLocaleString(document.documentElement.lang, { style: "unit", unit });
    button.textContent = left > 0 ? `${label} (${words})` : label;
    if (left > 0) setTimeout(tick, 500);
  };
  tick();
}
