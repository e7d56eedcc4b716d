"""Describe User-Agent headers in words, such as "Safari on iPhone".

An iPad sends the header of a Mac unless its user asks for mobile pages, so it is described as one.
"""

from enum import StrEnum

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

# ua-parser's names and ours. No other names are shown, because some patterns of ua-parser copy text from the header,
# which the client controls.
_SAME = {
    *("Brave", "Chrome", "Chromium", "DuckDuckGo", "Edge", "Firefox", "Huawei Browser", "Opera", "Opera Mini"),
    *("Safari", "Samsung Internet", "UC Browser", "Vivaldi", "Yandex Browser", "curl"),
    *("Android", "Debian", "Fedora", "FreeBSD", "HarmonyOS", "KaiOS", "Linux", "NetBSD", "OpenBSD", "Tizen", "Ubuntu"),
    *("Windows", "Windows Phone", "iOS"),
}
_IN_APP = {
    *("Chrome Mobile WebView", "Facebook", "Instagram", "LINE", "LinkedIn", "Mobile Safari UI/WKWebView", "Pinterest"),
    *("Snapchat", "TikTok", "Twitter", "WeChat Browser"),
}
NAMES = {name: name for name in _SAME} | dict.fromkeys(_IN_APP, _l("In-app browser"))
NAMES |= {
    "Amazon Silk": "Silk",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome OS": "ChromeOS",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "Edge Mobile": "Edge",
    "Firefox Focus": "Firefox",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Google": _l("Google app"),
    "HeadlessChrome": "Headless Chrome",
    "IE": "Internet Explorer",
    "Mac OS X": "macOS",
    "MiuiBrowser": "Mi Browser",
    "Mobile Safari": "Safari",
    "Oculus Browser": "Meta Quest Browser",
    "Opera Mobile": "Opera",
    "Opera Touch": "Opera",
}
COMPUTERS = "Chrome OS, Debian, Fedora, FreeBSD, Linux, Mac OS X, NetBSD, OpenBSD, Ubuntu, Windows".split(", ")
APPLE = {"iPad", "iPhone", "iPod"}


class DeviceKind(StrEnum):
    """The kind of a device. The value names its icon."""

    COMPUTER = "computer"
    PHONE = "phone"
    TABLET = "tablet"
    UNKNOWN = "globe"


def in_words(user_agent: str) -> str:
    """Return the browser and the system that a User-Agent header names, if they are known."""
    browser, system, device = _families(user_agent)
    name = str(NAMES[browser]) if browser in NAMES else _("Unknown browser")
    place = device if device in APPLE else NAMES.get(system)
    # Translators: such as "Firefox on Linux" or "Safari on iPhone"
    return _("%(browser)s on %(system)s", browser=name, system=place) if place else name


def device_kind(user_agent: str) -> DeviceKind:
    """Return the kind of device that sends a User-Agent header. Browsers on phones, unlike tablets, say "Mobile"."""
    _, system, device = _families(user_agent)
    if system in COMPUTERS:
        return DeviceKind.COMPUTER
    if device == "iPad" or (system == "Android" and "Mobile" not in user_agent):
        return DeviceKind.TABLET
    return DeviceKind.PHONE if system and "Mobile" in user_agent else DeviceKind.UNKNOWN


def _families(user_agent: str) -> tuple[str, str, str]:
    """Return ua-parser's names of the browser, the system and the device; "" for what is unknown, and for bots."""
    import ua_parser  # importing it takes 14 ms, and few requests need it

    found = ua_parser.parse(user_agent[:300])
    browser, system, device = (part.family if part else "" for part in (found.user_agent, found.os, found.device))
    return ("", "", "") if device == "Spider" else (browser, system, device)
