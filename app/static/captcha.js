// The CAPTCHA: ALTCHA's widget (MIT License: altcha/LICENSE.txt), in our words. It starts when its form gets the focus.
const captcha = document.querySelector("altcha-widget");
const { challenge, worker } = captcha.dataset;

$altcha.algorithms.set("PBKDF2/SHA-256", () => new Worker(worker));
$altcha.defaults.set({ auto: "onfocus", challenge, hideFooter: true, hideLogo: true, humanInteractionSignature: false, name: "captcha" });
$altcha.i18n.set("en", {
  ...$altcha.i18n.get("en"),
  label: "I'm human",
  verifying: "Checking…",
  verified: "Checked",
  error: "That didn't work. Check the box to try again.",
  expired: "This has expired. Check the box again.",
  waitAlert: "Wait a moment until the box is checked.",
});
captcha.addEventListener("load", () => captcha.closest("form").matches(":focus-within") && captcha.verify()); // autofocus
captcha.addEventListener("expired", () => captcha.reset());
