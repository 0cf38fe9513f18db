// What an app prints, its requests, and what the runtime logs about it, live.
import { logView } from "../logs.js";

export async function render(root, { app, query }) {
  return { update() {}, end: await logView(root, query, app) };
}
