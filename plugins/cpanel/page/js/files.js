// Dropped or picked files with their paths below one folder. Caches and what looks like a secret are
// left out, as by `buntime deploy`.

import { attempt } from "./components/parts.js";

const LEFT_OUT = /^(\.(git|hg|svn|venv|DS_Store|mypy_cache|pytest_cache|ruff_cache|tox|nox|coverage|idea)|venv|node_modules|__pycache__)$/;
const SECRET = /^(\.env(\..+)?|.+\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk)|id_(rsa|dsa|ecdsa|ed25519)|\.netrc|\.pypirc|\.htpasswd|\.pgpass|\.git-credentials|credentials\.json|service[-_]account.*\.json)$/i;
const NO_SECRET = /^\.env\.(example|sample|template|dist|defaults)$/i;
const ARCHIVE = /\.(zip|tar\.gz|tgz)$/i;

const isWanted = (name) => !LEFT_OUT.test(name) && (!SECRET.test(name) || NO_SECRET.test(name));
const asked = (work) => new Promise(work);

// The entries of a drop: {name, archive}, or {name, files: [{path, file}], leftOut}.
export async function dropped(entries) {
  const [first] = entries;
  if (entries.length === 1 && first.isFile && ARCHIVE.test(first.name)) {
    return archived(await asked((resolve, reject) => first.file(resolve, reject)));
  }
  const found = { name: "", files: [], leftOut: 0 };
  async function walk(entry, above) {
    const path = above + entry.name;
    if (!isWanted(entry.name)) found.leftOut += 1;
    else if (entry.isFile) found.files.push({ path, file: await asked((resolve, reject) => entry.file(resolve, reject)) });
    else for (const child of await children(entry)) await walk(child, `${path}/`);
  }
  const isFolder = entries.length === 1 && first.isDirectory;
  if (isFolder) found.name = first.name;
  for (const entry of isFolder ? await children(first) : entries) await walk(entry, "");
  return found;
}

async function children(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) { // the browser returns some at a time
    const some = await asked((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...some);
  }
}

// The same for the files of an input.
export function picked(files) {
  if (!files[0].webkitRelativePath) return archived(files[0]);
  const all = [...files].map((file) => ({ file, parts: file.webkitRelativePath.split("/") }));
  const wanted = all.filter(({ parts }) => parts.slice(1).every(isWanted));
  return {
    name: all[0].parts[0],
    files: wanted.map(({ file, parts }) => ({ path: parts.slice(1).join("/"), file })),
    leftOut: all.length - wanted.length,
  };
}

const archived = (file) => ({ name: file.name.replace(ARCHIVE, ""), archive: file });
export const sizeOf = ({ archive, files }) => archive?.size ?? files.reduce((sum, { file }) => sum + file.size, 0);

// Items that are not files, such as a picture of another page.
const entryOf = (file) => ({ name: file.name, isFile: true, file: (resolve) => resolve(file) });

// Lets files be dropped on an element, as entries; returns a function that ends that.
export function takesDrops(element, work) {
  const over = (isOver) => (event) => {
    if (!event.dataTransfer.types.includes("Files")) return false;
    event.preventDefault();
    event.stopPropagation();
    element.classList.toggle("over", isOver);
    return true;
  };
  const handlers = {
    dragover: over(true),
    dragleave: over(false),
    drop: (event) => {
      if (over(false)(event)) work([...event.dataTransfer.items].map((item) => item.webkitGetAsEntry() ?? entryOf(item.getAsFile())));
    },
  };
  for (const [name, handler] of Object.entries(handlers)) element.addEventListener(name, handler);
  return () => {
    for (const [name, handler] of Object.entries(handlers)) element.removeEventListener(name, handler);
  };
}

// The dialog that deploys, see deploy.js; it is loaded at its first use.
export const deploy = (what) => attempt(async () => (await import("./deploy.js")).deploy(what));
