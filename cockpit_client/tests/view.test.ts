import { describe, expect, it } from "vitest";
import { FIRST_VIEW, readView, type View, writeView } from "../src/logic/view";

describe("the view in the address", () => {
  it.each<View>([
    FIRST_VIEW,
    { ...FIRST_VIEW, pipe: "x", page: "logs", logs: { level: "ERROR", flow: "f&g", routine: "a=b", text: "50 % <b>", from: 1.5, to: 2 } },
    { ...FIRST_VIEW, pipe: "x", selection: { kind: "routine", name: "näme -> #?" } },
    { ...FIRST_VIEW, selection: { kind: "wire", source: "a->b", destination: "c" }, range: "7d" },
    { ...FIRST_VIEW, selection: { kind: "flow", name: "f" }, page: "problems" },
  ])("is read as it was written: %j", (view) => {
    expect(readView(writeView(view))).toEqual(view);
  });

  it("leaves out what makes no sense", () => {
    expect(readView("?view=nonsense&range=3y&level=LOUD&from=yesterday&source=a")).toEqual(FIRST_VIEW);
  });

  it("has no query for the first view", () => {
    expect(writeView(FIRST_VIEW)).toBe("");
  });
});
