/** Light or dark: as the system has it, or as the user chose. */

import { Signal } from "./signal";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];
export type Shade = "light" | "dark";

const KEY = "pipert2-cockpit-theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

export const theme = new Signal<Theme>(THEMES.find((known) => known === stored()) ?? "system");
export const shade = new Signal<Shade>("light");

function stored(): string | null {
  try {
    return window.localStorage.getItem(KEY);
  } catch {
    return null; // storage can be forbidden; the choice then lasts as long as the page
  }
}

function apply(): void {
  const chosen = theme.get();
  const now: Shade = chosen === "system" ? (system.matches ? "dark" : "light") : chosen;
  document.documentElement.dataset["theme"] = now;
  shade.set(now);
}

export function choose(next: Theme): void {
  theme.set(next);
  try {
    window.localStorage.setItem(KEY, next);
  } catch {
    // as above
  }
  apply();
}

system.addEventListener("change", apply);
apply();
