"""Authenticators that the browser simulates."""

# The browser's own list where a name is typed: here it would take the only passkey at once.
# Nor does it create a passkey without asking.
NO_LIST = """if (window.PublicKeyCredential) {
  PublicKeyCredential.isConditionalMediationAvailable = async () => false;
  PublicKeyCredential.getClientCapabilities = async () => ({});
}"""


class Device:
    """A browser window with an authenticator of its own: a laptop with a fingerprint reader, say."""

    def __init__(self, page, init=NO_LIST):
        self.page = page
        page.add_init_script(init)
        self.protocol = page.context.new_cdp_session(page)
        self.protocol.send("WebAuthn.enable")
        options = {"protocol": "ctap2", "transport": "internal", "automaticPresenceSimulation": True}
        options |= {"hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
        made = self.protocol.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self.id = {"authenticatorId": made["authenticatorId"]}

    def tell(self, command, **options):
        return self.protocol.send(f"WebAuthn.{command}", self.id | options)

    def keys(self):
        return self.tell("getCredentials")["credentials"]

    def take(self, key):
        """Keep a copy of another device's passkey."""
        self.tell("addCredential", credential=key)
