/** What the kinds of lines mean. */
export function Legend() {
  return (
    <ul className="legend" aria-label="Legend">
      <li><Sample look="flowing" /> flows</li>
      <li><Sample look="idle" /> idle</li>
      <li><Sample look="blocked" /> ▣ lossless, blocked</li>
      <li><Sample look="dropping" /> ▷ real-time, drops</li>
    </ul>
  );
}

function Sample({ look }: { look: string }) {
  return <svg width="34" height="10" aria-hidden="true"><path className={`wire ${look}`} d="M1 5 H33" /></svg>;
}
