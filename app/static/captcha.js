// The CAPTCHA: ALTCHA's widget (MIT License: altcha/LICENSE.txt), in our words. It starts when its form gets the focus.
const captcha = document.querySelector("altcha-widget");
const { challenge, worker } = captcha.dataset;

$altcha.algorithms.set("PBKDF2/SHA-256", () => new Worker(worker));
$altcha.defaults.set({ auto: "onfocus", challenge, hideFooter: true, hideLogo: true, humanInteractionSignature: false, name: "captcha" });
// gettext() is _() of app.js, a name that the widget uses itself.
const words = {
  ...$altcha.i18n.get("en"),
  label: gettext("I'm human"),
  verifying: gettext("Checking…"),
  verified: gettext("Checked"),
  error: gettext("That didn't work. Check the box to try again."),
  expired: gettext("This has expired. Check the box again."),
  waitAlert: gettext("Wait a moment until the box is checked."),
};
for (const language of ["en", document.documentElement.lang]) $altcha.i18n.set(language, words);
captcha.addEventListener("load", () => captcha.closest("form").matches(":focus-within") && captcha.verify()); // autofocus
captcha.addEventListener("expired", () => captcha.reset());
