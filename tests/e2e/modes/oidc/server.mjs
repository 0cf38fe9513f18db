// An OpenID provider as others run it: oidc-provider with its own pages for signing in. It prints
// {"url": ...}, reads a line of JSON, {"redirectUris": [...], "postLogoutUris": [...]}, and prints ready.

import { createInterface } from "node:readline";
import { createServer } from "node:http";
import Provider from "oidc-provider";

console.warn = console.info = () => {}; // its pages are for development, and it says so at length

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}`;
console.log(JSON.stringify({ url }));

const lines = createInterface({ input: process.stdin });
lines.on("close", () => process.exit(0)); // the test has ended, however
const { redirectUris, postLogoutUris } = JSON.parse(await new Promise((resolve) => lines.once("line", resolve)));

const account = (context, id) => ({
  accountId: id,
  claims: () => ({
    sub: id,
    name: `The user ${id}`,
    email: `${id}@example.com`,
    email_verified: true,
    realm: { roles: id.startsWith("boss") ? ["admin"] : ["reader"] },
  }),
});

const provider = new Provider(url, {
  clients: [
    {
      client_id: "buntime",
      client_secret: "a secret of the client",
      redirect_uris: redirectUris,
      post_logout_redirect_uris: postLogoutUris,
      token_endpoint_auth_method: "client_secret_post",
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "realm"] },
  conformIdTokenClaims: false, // the claims stand in the ID token, as most providers have it
  cookies: { keys: ["a key of a test"] },
  findAccount: account,
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  ttl: { AccessToken: 60, AuthorizationCode: 60, IdToken: 60, Interaction: 60, Session: 60, Grant: 60 },
});
server.on("request", provider.callback());
console.log("ready");
