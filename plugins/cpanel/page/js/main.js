// Finds out who is signed in, then draws the frame with its pages, or the form to sign in.
import * as api from "./api.js";
import { fill, h } from "./dom.js";
import * as i18n from "./i18n.js";
import * as router from "./router.js";
import { draw } from "./shell.js";
import { signInForm } from "./signin.js";
import { problem } from "./components/parts.js";

const body = document.getElementById("shell");
let leave = () => {};
let shownTo = ""; // the caller whose name and rights are shown

function end() {
  leave();
  leave = () => {};
  shownTo = "";
  for (const dialog of document.querySelectorAll("dialog[open]:has(form)")) dialog.close(); // it would cover the form to sign in
}

// Rights go by verb and by app: can("apps:deploy", "shop").
function rights({ caller }) {
  const globs = caller.apps.map((glob) => new RegExp(`^${glob.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*")}$`));
  return (right, app = null) =>
    caller.rights.includes(right) && (app === null || globs.some((glob) => glob.test(app)));
}

async function begin() {
  end();
  try {
    const session = await api.session();
    if (session) enter(session);
    else ask();
  } catch (error) {
    fill(body, h("main", { id: "main" }, problem(error, begin)));
  }
}

function ask(reason = null) {
  end();
  signInForm(body, { reason, done: enter });
}

function enter(session) {
  shownTo = JSON.stringify(session.caller);
  const can = rights(session);
  const shell = draw(body, session, {
    can,
    language: async (tag) => {
      await i18n.choose(tag);
      begin();
    },
    out: async () => {
      await api.signOut();
      ask();
    },
  });
  let entries = [];
  const all = () => entries.flatMap((each) => [each, ...each.items]);
  const context = {
    session, can, go: router.go, title: router.title, moved: () => shell.mark(router.current()),
    takes: ({ pathname, search }) => router.match(pathname) || all().some(({ href }) => href === pathname + search),
    async pluginAt(base) {
      await known;
      return all().find(({ href }) => href.startsWith(`${base}/`))?.plugin ?? base.slice(1);
    },
  };
  async function menus() {
    entries = await api.get("/api/menus").catch(() => entries);
    shell.menus(entries);
    shell.mark(router.current());
  }
  // There are users only if a plugin signs people in.
  async function users() {
    shown(await api.session().catch(() => null));
  }
  const shown = (found) => found && can("users:read", "*") && shell.show("users", found.users);
  const known = menus();
  shown(session);
  const quiet = api.events({ menus, plugins: users, open: (isAgain) => isAgain && Promise.all([menus(), users()]) });
  router.start(shell.place, context, shell.mark);
  leave = () => {
    quiet();
    router.stop();
    shell.end();
  };
}

if (parent === self) {
  api.signedOut(() => ask("signin.ended"));
  api.sessionFound((session) => {
    if (!shownTo || JSON.stringify(session.caller) === shownTo) return;
    end();
    enter(session);
  });
  await i18n.load();
  await begin();
} else {
  // The shell around this frame shows the page instead.
  (await import("/.well-known/buntime/bt-frame.js")).isFramed();
}
