// Finds text whose contrast with its ground is below 4.5 : 1. What is disabled or faded on purpose may be.
() => {
  const parse = (text) => {
    const parts = text.match(/[\d.]+/g).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [...parts.slice(0, 3).map((part) => part * scale), parts[3] ?? 1];
  };
  const linear = (part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const line = (element) => (element ? [element, ...line(element.parentElement)] : []);
  const ground = (element) => {
    const colours = line(element).map((one) => parse(getComputedStyle(one).backgroundColor));
    return colours.find((colour) => colour[3] > 0.5) ?? [255, 255, 255];
  };
  const faded = (element) => line(element).some((one) => one.disabled || Number(getComputedStyle(one).opacity) < 1);
  const isText = (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== "";
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some(isText) || !element.checkVisibility() || faded(element)) continue;
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) found.push(`${element.className || element.tagName}: ${element.textContent.trim().slice(0, 30)} ${contrast.toFixed(2)}`);
  }
  return found;
}
