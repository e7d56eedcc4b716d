"""Make sure that there is a browser for the tests: Debian's where there is apt and root, else Playwright's own."""

import os
import shutil
import subprocess
import sys

DEBIAN = "chromium-headless-shell"


def main():
    if shutil.which(DEBIAN) or starts():
        return
    print("Installing a browser for the tests: a minute, once.", flush=True)
    if shutil.which("apt-get") and os.geteuid() == 0 and apt():
        return
    if playwright() and starts():
        return
    sys.exit(
        "The tests need a browser, and none could be installed.\n"
        f"On Debian, as root: apt-get install {DEBIAN}\n"
        "Elsewhere: .venv/bin/python -m playwright install --with-deps chromium-headless-shell"
    )


def apt():
    """Install Debian's package, waiting for others who install."""
    options = ["-qq", "-o", "DPkg::Lock::Timeout=300"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", DEBIAN]):
        done = subprocess.run(["apt-get", *options, *command], env=environment, stdout=subprocess.DEVNULL)
    return done.returncode == 0 and shutil.which(DEBIAN)


def playwright():
    command = [sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]
    return subprocess.run(command).returncode == 0


def starts():
    """Say whether Playwright's own browser is there and runs."""
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as library:
            library.chromium.launch().close()
    except Error:
        return False
    return True


if __name__ == "__main__":
    main()
