/** A page's end of the talk with the shell that shows it. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Theme {
  /** "light" or "dark"; also `data-theme` of the document's root. */
  scheme?: "light" | "dark";
  /** CSS variables, set at the document's root: {"--bt-back": "#fff"}. */
  variables?: Record<`--${string}`, string>;
}

export interface Frame {
  /** Is there no shell? Known for sure once `ready` is. */
  readonly isAlone: boolean;
  /** What the shell hands over. */
  readonly props: Record<string, Json>;
  /** The language of the shell, "de". */
  readonly language: string;
  /** Where the page is: "/keyval", without a slash at its end. */
  readonly base: string;
  /** What is shown, below the base: "/queues?sort=name". */
  readonly path: string;
  /** When the shell has answered, or it is known that there is none. */
  readonly ready: Promise<Frame>;

  /** Show a path: by `navigate`, by a link, by the shell. Returns what takes the handler off. */
  on(name: "navigate", handler: (path: string) => void): () => void;
  on(name: "props", handler: (props: Record<string, Json>) => void): () => void;
  /** The page ends: keep what is to be kept, now. */
  on(name: "dispose", handler: () => void): () => void;
  /** An event that the shell emits. */
  onEvent(name: string, handler: (detail: Json) => void): () => void;
  /** Tell the shell that something has happened. */
  emit(name: string, detail?: Json): void;

  /** Let the shell call a function, by this name. */
  expose(name: string, work: (...args: any[]) => Json | void | Promise<Json | void>): void;
  /** Call a function of the shell; rejected where it has none of that name, or after 5 seconds. */
  call(name: string, ...args: Json[]): Promise<Json>;

  /** Go to a path below the base; the address bar follows. */
  navigate(path: string, options?: { replace?: boolean }): void;
  title(title: string): void;
  /** How high the page would like to be, in CSS pixels; by default as its content is. */
  resize(height?: number): void;
  toast(text: string, kind?: "info" | "success" | "warning" | "error"): void;
  error(text: string, status?: number): void;

  /** A little that the shell keeps while its tab is open: up to 16,384 characters of JSON. */
  state: Json | undefined;

  /** A token for the plugin's `routes`, as Authorization: Bearer; undefined for a page alone. */
  token(): Promise<string | undefined>;
  /** As `fetch`, for a path below the base, with a token. */
  fetch(path: string, options?: RequestInit): Promise<Response>;
  /** An address to be used once within 30 seconds: for images, downloads and WebSockets. */
  url(path: string): Promise<string>;
}

export const frame: Frame;
