/** At most one call in a while: the first at once, later ones together at the end of it. */
export function throttled(call: () => void, milliseconds: number): () => void {
  let timer: ReturnType<typeof setTimeout> | null = null;
  let again = false;
  const run = (): void => {
    call();
    timer = setTimeout(() => {
      timer = null;
      if (again) {
        again = false;
        run();
      }
    }, milliseconds);
  };
  return () => {
    if (timer === null) run();
    else again = true;
  };
}
