"""What axe does not check: focus rings, borders of fields, and the size of touch targets."""

TOUCH = 44  # CSS pixels: WCAG 2.2, 2.5.5
TABS = 120  # more than any page has

# Colours as browsers compute them, and WCAG's contrast of two of them. `behind` is the first opaque background.
COLOURS = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgb = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = (colour) => {
  const [r, g, b] = rgb(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  if (rgb(one)[3] < 128) return 1; // more transparent than not
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const behind = (element) => {
  for (let at = element.parentElement; at; at = at.parentElement) {
    const { backgroundColor } = getComputedStyle(at);
    if (rgb(backgroundColor)[3] === 255) return backgroundColor;
  }
  return "white";
};
const name = (element) => element.outerHTML.slice(0, 120);
"""

FOCUSED = f"""() => {{
  {COLOURS}
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element);
  const isThere = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const visited = element.dataset.visited;
  element.dataset.visited = "yes";
  return {{visited, name: name(element), isThere, contrast: contrast(style.outlineColor, behind(element)),
    isFrame: element.tagName === "IFRAME"}};
}}"""

FAINT_FIELDS = f"""() => {{
  {COLOURS}
  const fields = "input:not([type=hidden], [type=submit], [type=range], [type=color]), select, textarea";
  return [...document.querySelectorAll(fields)]
    .filter((field) => field.checkVisibility({{visibilityProperty: true}}) && field.offsetWidth > 1)
    .filter((field) => contrast(getComputedStyle(field).borderTopColor, behind(field)) < 3)
    .map(name);
}}"""

# Links within sentences are exempt (2.5.5). A checkbox has its label as a target.
CONTROLS = "button, summary, input:not([type=hidden]), select, .btn, nav a"
SMALL_TARGETS = f"""() => [...document.querySelectorAll("{CONTROLS}")]
  .filter((target) => target.checkVisibility({{visibilityProperty: true}}) && target.offsetWidth > 1)
  .map((target) => ["checkbox", "radio"].includes(target.type) ? target.labels[0] : target)
  .filter((target) => target.getBoundingClientRect().height < {TOUCH})
  .map((target) => target.outerHTML.slice(0, 120))"""


def unseen_focus(page):
    """Tab through the page; return what has no visible focus ring, with its contrast."""
    faults = []
    page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    page.keyboard.press("Tab")
    for _ in range(TABS):
        focused = page.evaluate(FOCUSED)
        if focused is None or focused["visited"]:
            break
        if not focused["isFrame"] and (not focused["isThere"] or focused["contrast"] < 3):
            faults.append(focused)
        page.keyboard.press("Tab")
    page.evaluate("document.querySelectorAll('[data-visited]').forEach((it) => delete it.dataset.visited)")
    return faults


def faint_fields(page):
    """Return the fields whose border has less than 3:1 to what surrounds them."""
    return page.evaluate(FAINT_FIELDS)


def small_targets(page):
    """Return the buttons, fields and navigation links that are lower than 44 pixels."""
    return page.evaluate(SMALL_TARGETS)
