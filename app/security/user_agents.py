"""Describe User-Agent headers in words, such as "Firefox on Linux"."""

# No other names are shown, because some patterns of ua-parser copy text from the header, which the client controls.
KNOWN = {
    *("Brave", "Chrome", "Chrome Mobile", "Chrome Mobile WebView", "Chrome Mobile iOS", "Chromium", "curl"),
    *("DuckDuckGo", "DuckDuckGo Mobile", "Edge", "Edge Mobile", "Firefox", "Firefox Focus", "Firefox Mobile"),
    *("Firefox iOS", "HeadlessChrome", "IE", "Mobile Safari", "Mobile Safari UI/WKWebView", "Opera", "Opera Mini"),
    *("Opera Mobile", "Safari", "Samsung Internet", "UC Browser", "Vivaldi", "Yandex Browser"),
    *("Android", "Chrome OS", "Debian", "Fedora", "FreeBSD", "HarmonyOS", "iOS", "KaiOS", "Linux", "Mac OS X"),
    *("NetBSD", "OpenBSD", "Tizen", "Ubuntu", "Windows", "Windows Phone"),
}


def in_words(user_agent: str) -> str:
    """Return the browser and the system that a User-Agent header names, if they are known."""
    import ua_parser  # importing it takes 14 ms, and few requests need it

    found = ua_parser.parse(user_agent[:300])
    names = [part and part.family for part in (found.user_agent, found.os)]
    browser, system = (name if name in KNOWN else None for name in names)
    return f"{browser or 'An unknown browser'} on {system}" if system else browser or "An unknown browser"
