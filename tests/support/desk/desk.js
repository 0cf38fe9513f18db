// The tests' shell: shows the page of NAME at PATH for /desk/NAME/PATH, and keeps what it says.
import { BtFrame, isFramed } from "/.well-known/buntime/bt-frame.js";

const NAMES = ["ready", "title", "navigate", "event", "toast", "error", "resize"];
window.seen = [];
if (!isFramed()) {
  const [, base, rest] = location.pathname.match(/^\/desk(\/[^/]+)(\/.*)$/);
  const view = (window.view = new BtFrame());
  view.setAttribute("src", `${base}/`);
  view.setAttribute("pathname", rest + location.search);
  view.functions = { add: (a, b) => a + b, fail() { throw new Error("no"); }, never: () => new Promise(() => {}) };
  view.api = async (path, body) => {
    seen.push(["api", { asked: path, ...body }]);
    return { token: "t0ken", seconds: 300, url: `/once${body.path ?? ""}` };
  };
  view.tell({ props: { user: "ann" }, language: "de", theme: { scheme: "dark", variables: { "--bt-back": "#123" } } });
  for (const name of NAMES) view.addEventListener(`bt-${name}`, ({ detail }) => {
    seen.push([name, detail]);
    if (name === "navigate") history[detail.replace ? "replaceState" : "pushState"](null, "", `/desk${base}${detail.path}`);
    if (name === "title") document.title = detail.title;
    if (name === "toast") document.getElementById("toast").textContent = detail.text;
  });
  addEventListener("popstate", () => view.navigate(location.pathname.slice(5 + base.length) + location.search));
  document.body.append(view);
}
