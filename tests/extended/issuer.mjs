// An OpenID Connect issuer that is not ours: oidc-provider on the loopback. `PUT /mode/<name>` has it misbehave.
import http from "node:http";
import { decodeJwt, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { Provider } from "oidc-provider";

const [redirectUri] = process.argv.slice(2);
const users = {
  ada: { email: "ada@example.com", email_verified: true, name: "Ada Lovelace" },
  eve: { email: "ada@example.com", email_verified: false, name: "Eve" },
};
const server = http.createServer();
let mode = "right";
let answer;

async function newKey(kid) {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, use: "sig", alg: "RS256" };
}

// What a token says in each mode instead of what it should.
const wrong = {
  nonce: (claims) => ({ ...claims, nonce: "another" }),
  audience: (claims) => ({ ...claims, aud: "another", azp: "app" }),
  expired: (claims) => ({ ...claims, iat: claims.iat - 7200, exp: claims.exp - 7200 }),
  key: (claims) => claims,
};

async function spoil(token) {
  const claims = decodeJwt(token);
  if (mode === "none") return new UnsecuredJWT(claims).encode();
  if (!(mode in wrong)) return token;
  const { privateKey } = mode === "key" ? await generateKeyPair("RS256") : { privateKey: signing };
  return new SignJWT(wrong[mode](claims)).setProtectedHeader({ alg: "RS256", kid: jwk.kid }).sign(privateKey);
}

let jwk, signing;

async function start(kid, method = "client_secret_basic") {
  jwk = await newKey(kid);
  signing = await crypto.subtle.importKey(
    "jwk", jwk, { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, false, ["sign"]);
  const provider = new Provider(`http://127.0.0.1:${server.address().port}`, {
    clients: [{ client_id: "app", client_secret: "app-secret-app-secret-app-secret", redirect_uris: [redirectUri],
      token_endpoint_auth_method: method }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    cookies: { keys: ["for the tests alone"] },
    features: { devInteractions: { enabled: true } },
    findAccount: (_, sub) => users[sub] && { accountId: sub, claims: () => ({ sub, ...users[sub] }) },
    jwks: { keys: [jwk] },
    pkce: { required: () => true },
  });
  provider.use(async (ctx, next) => {
    if (mode === "slow") await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
    await next();
    if (ctx.path === "/token" && ctx.body?.id_token) ctx.body.id_token = await spoil(ctx.body.id_token);
  });
  answer = provider.callback();
}

server.on("request", async (request, response) => {
  if (request.method !== "PUT") return answer(request, response);
  mode = request.url.split("/").at(-1);
  if (mode === "rotated") await start("second");
  if (mode.startsWith("client_secret_")) await start("first", mode);
  return response.end();
});
server.listen(0, "127.0.0.1", async () => {
  await start("first");
  console.log(JSON.stringify({ issuer: `http://127.0.0.1:${server.address().port}` }));
});
