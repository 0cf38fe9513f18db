// A page of a plugin or an app, in a frame of its own; see docs/micro-frontends.md.
import * as api from "../api.js";
import { fill } from "../dom.js";
import { current, t } from "../i18n.js";
import { theme } from "../theme.js";
import { header, nothing } from "../components/parts.js";
import { toast } from "../components/toasts.js";

export const title = "frame.title";

const COLOURS = "back face sunk line edge ink soft accent tint on good warn bad".split(" ");
const look = document.documentElement;
const KINDS = { success: "good", warning: "warn", error: "bad" };

export async function render(root, { base }, { session, title: name, moved, pluginAt }) {
  if (!base) return void root.append(header(t("frame.none")));
  const { BtFrame } = await import("/.well-known/buntime/bt-frame.js");
  const view = new BtFrame();
  const path = () => (location.pathname.slice(base.length) || "/") + location.search + location.hash;
  view.setAttribute("src", `${base}/`);
  view.setAttribute("pathname", path());
  view.setAttribute("plugin", await pluginAt(base));
  view.api = (asked, body) => {
    if (navigator.userActivation?.isActive) api.touch(); // the only sign of activity within a frame
    return asked.endsWith("/urls") ? api.post("/api/frames/urls", { body }) : api.post("/api/frames/tokens", { body });
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  function wear() {
    const style = getComputedStyle(look);
    const variables = Object.fromEntries(COLOURS.map((each) => [`--bt-${each}`, style.getPropertyValue(`--${each}`)]));
    const system = dark.matches ? "dark" : "light";
    view.tell({ theme: { scheme: theme() === "auto" ? system : theme(), variables } });
  }
  view.tell({ props: { user: session.caller.name }, language: current() });
  wear();
  const watch = new MutationObserver(wear);
  watch.observe(look, { attributeFilter: ["data-theme"] });
  dark.addEventListener("change", wear);

  const on = (event, work) => view.addEventListener(`bt-${event}`, ({ detail }) => work(detail));
  on("ready", (told) => told.title && name(told.title));
  on("title", (told) => name(told.title));
  on("toast", ({ text, kind }) => toast(text, { kind: KINDS[kind] }));
  on("navigate", (told) => {
    history[told.replace ? "replaceState" : "pushState"](null, "", base + told.path);
    moved();
  });
  on("error", ({ text, isFatal }) => {
    if (isFatal) fill(root, header(base), nothing(t("frame.ended", { why: text })));
    else toast(text, { kind: "bad" });
  });
  root.append(view);

  async function end() {
    watch.disconnect();
    dark.removeEventListener("change", wear);
    await view.dispose();
  }
  end.move = () => view.navigate(path());
  return end;
}
