// What surrounds each page: the menu, who is signed in, and whether the data is live.
import * as api from "./api.js";
import { button, doing, fill, h, say } from "./dom.js";
import { current, languages, own, t } from "./i18n.js";
import { href } from "./router.js";
import { theme, themes, wear } from "./theme.js";
import { attempt } from "./components/parts.js";
import "./components/toasts.js";

// Path, page, the right that it needs, and whether it needs it for all apps.
const GROUPS = [
  [["", "overview"], ["apps", "apps"], ["workers", "workers"], ["plugins", "plugins", "plugins:read", "*"], ["logs", "logs", "logs:read"]],
  [["users", "users", "users:read", "*"], ["keys", "keys", "keys:read"], ["audit", "audit", "audit:read", "*"], ["settings", "settings", "config:read", "*"], ["access", "access"]],
];

export function draw(body, session, { can, language, out }) {
  const place = h("main", { id: "main", tabindex: "-1" });
  const links = new Map();
  const entry = (path, page) => {
    const link = h("a", { href: href(path) }, t(`${page}.title`));
    links.set(page, link);
    return h("li", { hidden: page === "users" }, link); // until a plugin is known to have some
  };
  const others = h("ul", { hidden: true, "aria-label": t("nav.plugins") });
  const nav = h("nav", { id: "nav", "aria-label": t("nav.label") },
    GROUPS.map((group) => h("ul", group.filter(([, , right, app]) => !right || can(right, app)).map(([path, page]) => entry(path, page)))), others);
  const toggle = button(t("nav.menu"), () => open(side.dataset.open !== "true"), {
    class: "quiet menu", "aria-expanded": "false", "aria-controls": "nav",
  });
  const { caller, environment } = session;
  const account = h("div.account",
    h("p", h("span.who", caller.name), h("span.faint", environment === "production" ? t("env.production") : t("env.development"))),
    h("div.choices",
      select(t("theme.label"), themes.map((name) => [name, t(`theme.${name}`)]), theme(), wear),
      select(t("language.label"), Object.entries(languages), current(), language)),
    button(t("signin.out"), doing(() => attempt(out)), { class: "quiet" }));
  const side = h("header", { id: "side" },
    h("a.brand", { href: href() }, "Buntime"), toggle, nav, account);
  const lost = h("div.lost", { role: "status", hidden: true });
  fill(body,
    h("a.skip", { href: "#main", onclick: (event) => { event.preventDefault(); place.focus(); } }, t("nav.skip")),
    side, h("div.page", lost, place), h("bt-toasts"), h("p.away", { id: "said", "aria-live": "polite" }));

  function open(isOpen) {
    side.dataset.open = isOpen;
    toggle.setAttribute("aria-expanded", isOpen);
  }
  const close = (event) => {
    if (event.key !== "Escape" || side.dataset.open !== "true") return;
    open(false);
    toggle.focus();
  };
  side.addEventListener("keydown", close);

  const end = api.events({
    open: () => { lost.hidden = true; },
    lost: (seconds) => {
      fill(lost, h("p", t("live.lost", { n: Math.ceil(seconds) })), button(t("live.now"), api.reconnect));
      lost.hidden = false;
    },
  });

  return {
    place,
    end,
    // Marks the current page.
    mark({ page }) {
      open(false);
      const mine = links.get(page === "app" ? "apps" : page) ?? nearest([...others.querySelectorAll("a")]);
      for (const link of nav.querySelectorAll("a")) {
        if (link === mine) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    },
    show: (page, isThere) => { links.get(page).parentNode.hidden = !isThere; },
    // The entries of plugins: [{title, icon, href, items: [...]}].
    menus(entries) {
      others.hidden = !entries.length;
      const one = ({ title, icon, href: to, items = [] }) =>
        h("li", h("a", { href: to }, icon ? h("img", { src: icon, alt: "", width: "16", height: "16" }) : null, own(title)),
          items.length ? h("ul", items.map(one)) : null);
      fill(others, entries.map(one));
    },
    say: (text) => say(document.getElementById("said"), text),
  };
}

// Of links to pages in frames, the one that leads nearest to what is shown.
function nearest(links) {
  const { pathname, search } = location;
  const near = ({ pathname: to, search: query }) => {
    const isAt = pathname === to || pathname.startsWith(to.endsWith("/") ? to : `${to}/`);
    return isAt && (!query || query === search) ? to.length + query.length : 0;
  };
  return links.reduce((best, link) => (near(link) > (best ? near(best) : 0) ? link : best), null);
}

function select(label, options, chosen, work) {
  return h("select", { "aria-label": label, onchange: (event) => work(event.target.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}
