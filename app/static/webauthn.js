// The Web Authentication API with options and credentials as JSON. The browser's own toJSON() and parse…FromJSON() are not
// used: Safari has them only since 18.4, and they throw on the objects that password managers return.

const webauthn = {
  isThere() {
    return Boolean(window.PublicKeyCredential && navigator.credentials);
  },

  // kind: "create" or "get", as in navigator.credentials and in what `publicKey` holds.
  options(kind, { ...publicKey }) {
    const descriptors = kind === "create" ? "excludeCredentials" : "allowCredentials";
    publicKey.challenge = webauthn.decode(publicKey.challenge);
    publicKey[descriptors] = (publicKey[descriptors] ?? []).map((known) => ({ ...known, id: webauthn.decode(known.id) }));
    if (kind === "create") publicKey.user = { ...publicKey.user, id: webauthn.decode(publicKey.user.id) };
    return publicKey;
  },

  // The parts that the server reads. Optional ones are null if reading them fails.
  toJSON(kind, { rawId, response }) {
    const id = webauthn.encode(rawId);
    const parts = kind === "create" ? ["attestationObject"] : ["authenticatorData", "signature"];
    const said = Object.fromEntries(["clientDataJSON", ...parts].map((part) => [part, webauthn.encode(response[part])]));
    if (kind === "create") said.transports = webauthn.orNull(() => [...response.getTransports()]);
    else said.userHandle = webauthn.orNull(() => webauthn.encode(response.userHandle));
    return { id, rawId: id, type: "public-key", response: said };
  },

  // Tell the device or password manager which passkeys the server knows, where the browser supports it:
  // signalUnknownCredential({rpId, credentialId}), signalAllAcceptedCredentials({rpId, userId, allAcceptedCredentialIds}),
  // signalCurrentUserDetails({rpId, userId, name, displayName}).
  signal(name, about) {
    webauthn.orNull(() => PublicKeyCredential[name](about).catch(() => {}));
  },

  encode(buffer) {
    if (buffer?.byteLength === undefined) throw new TypeError("not bytes");
    const bytes = ArrayBuffer.isView(buffer)
      ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
      : new Uint8Array(buffer);
    const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  },

  decode(text) {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
  },

  orNull(read) {
    try {
      return read() ?? null;
    } catch {
      return null;
    }
  },
};
