/** A shell's end of the talk with the pages that it shows. */

import type { Json, Theme } from "./frame.js";

export interface Told {
  props?: Record<string, Json>;
  theme?: Theme;
  language?: string;
}

export interface BtFrameEvents {
  "bt-ready": CustomEvent<{ title: string }>;
  "bt-title": CustomEvent<{ title: string }>;
  /** The page shows another path: the address bar is to follow, without a call of `navigate`. */
  "bt-navigate": CustomEvent<{ path: string; replace: boolean }>;
  "bt-event": CustomEvent<{ name: string; detail?: Json }>;
  "bt-toast": CustomEvent<{ text: string; kind: "info" | "success" | "warning" | "error" }>;
  /** `isFatal`: the page was ended, for what it did. */
  "bt-error": CustomEvent<{ text: string; status?: number; isFatal?: boolean }>;
  "bt-resize": CustomEvent<{ height: number }>;
  /** Somebody has to sign in. Unless it is prevented the window goes to `url`, and comes back. */
  "bt-signin": CustomEvent<{ url: string; done: () => void }>;
}

/**
 * `<bt-frame src="/keyval/" pathname="/queues" plugin="keyval" label="Key-value store" autosize patience="60">`
 *
 * `plugin` is whom tokens are for, by default the base's name; `label` is for screen readers;
 * with `autosize` the element is as high as the page would like to be; `patience` is for how many
 * seconds it waits for a page that does not come.
 */
export class BtFrame extends HTMLElement {
  /** Functions that the page may call, by name. */
  functions: Record<string, (...args: any[]) => Json | void | Promise<Json | void>>;
  /** Asks the operators' API: `api("/api/frames/tokens", {plugin})`. Without it no page gets a token. */
  api: ((path: string, body: Record<string, Json>) => Promise<Json>) | null;
  readonly base: string;
  /** What the page shows, below its base. */
  readonly path: string;

  /** Hand over what is named; the rest stays. */
  tell(told: Told): void;
  emit(name: string, detail?: Json): void;
  /** Call a function of the page; rejected after 5 seconds. */
  call(name: string, ...args: Json[]): Promise<Json>;
  /** Have the page show a path, as where the user went back. */
  navigate(path: string): void;
  /** End the page; before that it has 0.3 seconds to keep what is to be kept. */
  dispose(): Promise<void>;

  addEventListener<K extends keyof BtFrameEvents>(
    name: K,
    handler: (event: BtFrameEvents[K]) => void,
    options?: AddEventListenerOptions,
  ): void;
}

/** Is this shell in a frame itself? Then it is to draw nothing: its parent gets its path. */
export function isFramed(): boolean;
