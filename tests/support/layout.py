"""What longer words can break on a page: text that is cut, covered, or outside of its box or of the window."""

BROKEN = """() => {
  const meet = (a, b) => ({
    left: Math.max(a.left, b.left), right: Math.min(a.right, b.right),
    top: Math.max(a.top, b.top), bottom: Math.min(a.bottom, b.bottom),
  });
  const width = (box) => box.right - box.left;
  const height = (box) => box.bottom - box.top;
  const isShown = (element) => element.checkVisibility({visibilityProperty: true})
    && !element.closest(".skip-link, noscript, option") && !element.matches("details:not([open])");
  const found = [], lines = [], clipped = new Map();
  const clips = (element) => {
    if (!clipped.has(element)) {
      const { overflowX, textOverflow, clipPath } = getComputedStyle(element);
      clipped.set(element, { overflowX, textOverflow, clipPath });
    }
    return clipped.get(element);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const parent = node.parentElement, text = node.data.trim();
    if (!text || !isShown(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const frame = parent.closest(".btn, button, .badge, .alert, .sheet, td, th")?.getBoundingClientRect();
    for (let line of range.getClientRects()) {
      let isHidden = width(line) < 1, isScrolled = false;
      for (let at = parent; at && at !== document.body; at = at.parentElement) {
        const { overflowX, textOverflow, clipPath } = clips(at);
        isHidden ||= clipPath !== "none";
        if (overflowX === "visible") continue;
        const visible = meet(line, at.getBoundingClientRect());
        isScrolled ||= !["hidden", "clip"].includes(overflowX);
        isHidden ||= width(visible) < 2 || height(visible) < 2;
        const isCut = !isHidden && !isScrolled && width(line) - width(visible) > 1;
        if (isCut && textOverflow !== "ellipsis") found.push(`cut: ${text}`);
        line = visible;
      }
      if (isHidden) continue;
      const isIn = (left, right) => isScrolled || (line.left >= left - 1 && line.right <= right + 1);
      if (!isIn(0, innerWidth)) found.push(`outside of the window: ${text}`);
      if (frame && !isIn(frame.left, frame.right)) found.push(`outside of its box: ${text}`);
      lines.push({ node, text, line, above: parent.closest(".menu ul, .altcha-popover") });
    }
  }
  lines.sort((one, other) => one.line.top - other.line.top);
  for (const [index, one] of lines.entries())
    for (let at = index + 1; at < lines.length && lines[at].line.top < one.line.bottom; at += 1) {
      const other = lines[at];
      if (one.node === other.node || one.above !== other.above) continue;
      const both = meet(one.line, other.line);
      if (width(both) > 2 && height(both) > Math.min(height(one.line), height(other.line)) / 3)
        found.push(`over each other: ${one.text} / ${other.text}`);
    }
  return found;
}"""


def broken_words(page):
    """Return what is wrong with the text of a page in the window as it is."""
    return page.evaluate(BROKEN)
