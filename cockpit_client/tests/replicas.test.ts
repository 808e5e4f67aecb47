import { describe, expect, it } from "vitest";
import { replicasOf } from "../src/logic/replicas";
import { flowStatus, pipeStatus, routine, structure } from "./samples";

describe("replicas", () => {
  const made = { ...structure([routine("a", "f"), routine("b", "g")], []), replicas: { f: 2 } };
  const status = pipeStatus({
    flows: [flowStatus({}), flowStatus({ name: "f#2", replica_of: "f" }), flowStatus({ name: "f#3", replica_of: "f", state: "ended" }), flowStatus({ name: "g" })],
  });

  it("are counted from the newest status, without those that have ended", () => {
    expect(replicasOf("f", made, status)).toBe(2);
  });

  it("are those of the structure while there is no status", () => {
    expect(replicasOf("f", made, null)).toBe(2);
  });

  it("are nothing to speak of in a flow that has only itself", () => {
    expect([replicasOf("g", made, status), replicasOf("f", null, status)]).toEqual([null, null]);
  });
});
