"""Browsers in words: "Firefox on Linux"."""

# What may be said. Some patterns of the library take a name from the header, where anybody can write anything.
KNOWN = {
    *("Brave", "Chrome", "Chrome Mobile", "Chrome Mobile WebView", "Chrome Mobile iOS", "Chromium", "curl"),
    *("DuckDuckGo", "DuckDuckGo Mobile", "Edge", "Edge Mobile", "Firefox", "Firefox Focus", "Firefox Mobile"),
    *("Firefox iOS", "HeadlessChrome", "IE", "Mobile Safari", "Mobile Safari UI/WKWebView", "Opera", "Opera Mini"),
    *("Opera Mobile", "Safari", "Samsung Internet", "UC Browser", "Vivaldi", "Yandex Browser"),
    *("Android", "Chrome OS", "Debian", "Fedora", "FreeBSD", "HarmonyOS", "iOS", "KaiOS", "Linux", "Mac OS X"),
    *("NetBSD", "OpenBSD", "Tizen", "Ubuntu", "Windows", "Windows Phone"),
}


def in_words(user_agent: str) -> str:
    """Say which browser and system a User-Agent header names, as far as they are known."""
    import ua_parser  # takes 19 ms of a start: only when needed

    found = ua_parser.parse(user_agent[:300])
    names = [part and part.family for part in (found.user_agent, found.os)]
    browser, system = (name if name in KNOWN else None for name in names)
    return f"{browser or 'An unknown browser'} on {system}" if system else browser or "An unknown browser"
