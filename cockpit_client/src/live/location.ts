/** The view, kept in the address: going back in the browser goes back to the view before. */

import { readView, type View, writeView } from "../logic/view";
import { Signal } from "./signal";

export const view = new Signal<View>(readView(window.location.search));

/** Go to another view. `quietly`: as a change of this one, with no step to go back (typing in a search field). */
export function go(change: Partial<View>, quietly = false): void {
  const next = { ...view.get(), ...change };
  const query = writeView(next);
  if (query === writeView(view.get())) return;
  const address = `${window.location.pathname}${query}`;
  if (quietly) window.history.replaceState(null, "", address);
  else window.history.pushState(null, "", address);
  view.set(next);
}

window.addEventListener("popstate", () => view.set(readView(window.location.search)));
