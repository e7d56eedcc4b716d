// Reads HTML emails from the file names in the arguments; prints which of their features which mail clients don't support.
import { readFileSync } from "node:fs";
import { caniemail } from "caniemail";

const CLIENTS = [
  "apple-mail.ios", "apple-mail.macos", "gmail.android", "gmail.desktop-webmail", "gmail.ios", "outlook.android",
  "outlook.ios", "outlook.macos", "outlook.outlook-com", "outlook.windows", "protonmail.desktop-webmail",
  "samsung-email.android", "thunderbird.macos", "yahoo.android", "yahoo.desktop-webmail", "yahoo.ios",
];

const missing = {};
for (const file of process.argv.slice(2)) {
  const html = readFileSync(file, "utf8");
  for (const client of CLIENTS) {
    for (const [, issues] of caniemail({ clients: [client], html }).issues.errors) {
      for (const { title } of issues) (missing[title] ??= new Set()).add(client);
    }
  }
}
console.log(JSON.stringify(Object.fromEntries(Object.entries(missing).map(([title, clients]) => [title, [...clients].sort()]))));
