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
    text = new Intl.PluralRules(language).select(values.n ?? 0) === "one" ? text[0] : text[1];
  }
  return text.replace(/\{(\w+)\}/g, (all, name) => {
    const value = values[name];
    if (value === undefined) return all;
    return typeof value === "number" ? number(value) : String(value);
  });
}

export const number = (value, digits = 0) =>
  value.toLocaleString(language, { maximumFractionDigits: digits });

// A text of a manifest: "Queues", or {en: "Queues", de: "Schlangen"}.
export function own(text) {
  if (text === null || typeof text !== "object") return String(text ?? "");
  return String(text[language] ?? text.en ?? Object.values(text)[0] ?? "");
}
