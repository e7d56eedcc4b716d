"""Draw app/static/icons from app/static/logo.svg in the color of ACCENT_COLOR (`make icons`).

tests/test_brand.py fails if logo.svg has changed since.
"""

import hashlib
import shutil
import struct
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from config import Config
from settings.brand import brand

LOGO = Path(__file__).parent.parent / "app/static/logo.svg"
ICONS = LOGO.parent / "icons"
SHAPES = {  # size in pixels, the logo's share of the width, ground; launchers crop a maskable icon to its inner 80%
    "icon-192.png": (192, 1.0, "transparent"),
    "icon-512.png": (512, 1.0, "transparent"),
    "maskable-512.png": (512, 0.56, "#fff"),
    "apple-touch-icon.png": (180, 0.74, "#fff"),
}
FAVICON_SIZES = (16, 32, 48)


def main() -> None:
    found = shutil.which("chromium-headless-shell")
    options = {"executable_path": found, "args": ["--no-sandbox"]} if found else {}
    with sync_playwright() as library:
        browser = library.chromium.launch(**options)
        page = browser.new_page()
        for name, shape in SHAPES.items():
            (ICONS / name).write_bytes(draw(page, *shape))
        (ICONS / "favicon.ico").write_bytes(ico([draw(page, size) for size in FAVICON_SIZES]))
        browser.close()
    (ICONS / "made_from.txt").write_text(f"{digest()}\n")


def draw(page: Page, size: int, share: float = 1.0, ground: str = "transparent") -> bytes:
    """Return the logo as a PNG file."""
    accent = brand(Config.ACCENT_COLOR).light.accent
    width = size * share
    page.set_viewport_size({"width": size, "height": size})
    page.set_content(
        f"<style>body {{ margin: 0; height: 100vh; display: grid; place-items: center; background: {ground}; }}"
        f"svg {{ width: {width}px; height: {width}px; color: {accent}; }}</style>{LOGO.read_text('utf-8')}"
    )
    return page.screenshot(omit_background=True)


def ico(images: list[bytes]) -> bytes:
    """Return a file of PNG images as Windows and browsers read it."""
    header, offset = struct.pack("<HHH", 0, 1, len(images)), 6 + 16 * len(images)
    for size, image in zip(FAVICON_SIZES, images, strict=True):
        header += struct.pack("<BBBBHHII", size, size, 0, 0, 1, 32, len(image), offset)
        offset += len(image)
    return header + b"".join(images)


def digest() -> str:
    """Return the hash of the logo that the icons were drawn from."""
    return hashlib.sha256(LOGO.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
