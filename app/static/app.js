// Two comforts; every page works without them.

// A password can be shown while it is typed.
for (const input of document.querySelectorAll('input[type="password"]')) {
  const box = document.createElement("div");
  const button = document.createElement("button");
  box.className = "revealed";
  button.type = "button";
  button.textContent = "Show";
  button.setAttribute("aria-controls", input.id);
  button.setAttribute("aria-label", "Show what is typed");
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const show = input.type === "password";
    input.type = show ? "text" : "password";
    button.textContent = show ? "Hide" : "Show";
    button.setAttribute("aria-pressed", String(show));
  });
  input.form.addEventListener("submit", () => { input.type = "password"; });
  input.replaceWith(box);
  box.append(input, button);
  if (input.autofocus) input.focus();
}

// A button that can be used after some seconds counts them down.
for (const button of document.querySelectorAll("button[data-wait]")) {
  const label = button.textContent;
  const end = Date.now() + Number(button.dataset.wait) * 1000;
  const tick = () => {
    const left = Math.ceil((end - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 && left < 3600 ? `${label} (${left} s)` : label;
    if (left > 0) setTimeout(tick, 250);
  };
  tick();
}
