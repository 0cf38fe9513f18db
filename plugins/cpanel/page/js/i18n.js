// Words by key: t("overview.needs", {n: 3}). A text is a string, or [one, many], chosen by `n`.

const LANGUAGES = { en: "English", de: "Deutsch" };
const KEPT = "buntime.language";
let catalogue = {};
let language = "en";

export const languages = LANGUAGES;
export const current = () => language;

export function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // the browser blocks storage
  }
}

export function keep(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // the choice is lost with the page
  }
}

export async function load(wanted = kept(KEPT)) {
  const asked = [wanted, ...navigator.languages].map((tag) => (tag ?? "").slice(0, 2).toLowerCase());
  language = asked.find((tag) => tag in LANGUAGES) ?? "en";
  catalogue = (await import(`./lang/${language}.js`)).default; // a test checks that each has all words
  document.documentElement.lang = language;
}

export async function choose(wanted) {
  keep(KEPT, wanted);
  await load(wanted);
}

export function t(key, values = {}) {
  let text = catalogue[key] ?? key;
  if (Array.isArray(text)) {
    text = format(Intl.PluralRules).select(values.n ?? 0) === "one" ? text[0] : text[1];
  }
  return text.replace(/\{(\w+)\}/g, (all, name) => {
    const value = values[name];
    if (value === undefined) return all;
    return typeof value === "number" ? number(value) : String(value);
  });
}

// Making a format takes far longer than using it, and each line of a log has a time.
const formats = new Map();
export function format(Kind, options = {}) {
  const key = `${language} ${Kind.name} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new Kind(language, options));
  return formats.get(key);
}

export const number = (value, digits = 0) =>
  format(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);

// A text of a manifest: "Queues", or {en: "Queues", de: "Schlangen"}.
export function own(text) {
  if (text === null || typeof text !== "object") return String(text ?? "");
  return String(text[language] ?? text.en ?? Object.values(text)[0] ?? "");
}
