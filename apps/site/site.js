// Pages are drawn here, by path. All paths are relative to <base>, which the runtime puts into
// index.html, so the site works under /site/, /site@1/ or any other name.

const base = new URL(".", document.baseURI).pathname;

const gardens = {
  herbs: { name: "Herbs", tip: "Cut thyme after it has flowered, and basil before." },
  roses: { name: "Roses", tip: "Water the roots, never the leaves." },
  beans: { name: "Beans", tip: "Sow them once the nights stay above ten degrees." },
};

const routes = [
  [/^$/, home],
  [/^gardens\/?$/, list],
  [/^gardens\/([^/]+)\/?$/, garden],
  [/^about\/?$/, about],
];

function home() {
  return ["What to do this week", paragraph("Choose a garden, and read on.")];
}

function list() {
  const items = document.createElement("ul");
  for (const [path, { name }] of Object.entries(gardens)) {
    const link = Object.assign(document.createElement("a"), { href: `gardens/${path}`, textContent: name });
    const item = document.createElement("li");
    item.append(link);
    items.append(item);
  }
  return ["Gardens", items];
}

function garden(key) {
  if (!Object.hasOwn(gardens, key)) return missing();
  return [gardens[key].name, paragraph(gardens[key].tip)];
}

function about() {
  return ["About", paragraph("Three files, no build step: a page, a stylesheet and a script.")];
}

function missing() {
  return ["No such page", paragraph("Nothing grows here.")];
}

function paragraph(text) {
  return Object.assign(document.createElement("p"), { textContent: text });
}

function draw() {
  const path = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : "";
  const [pattern, page] = routes.find(([pattern]) => pattern.test(path)) ?? [/^/, missing];
  const [title, content] = page(...pattern.exec(path).slice(1));
  const heading = Object.assign(document.createElement("h1"), { textContent: title });
  document.title = `${title} - Garden almanac`;
  document.querySelector("main").replaceChildren(heading, content);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.origin !== location.origin || !link.pathname.startsWith(base)) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  draw();
});

addEventListener("popstate", draw);
draw();
