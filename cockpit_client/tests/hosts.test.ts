import { describe, expect, it } from "vitest";
import { hostProblems, hostsOf, hostsText } from "../src/logic/hosts";
import { flowStatus, pipeStatus } from "./samples";

const site = { name: "10.0.0.2", host: "10.0.0.2", clock_offset: null, clock_uncertainty: null, state: "running" };

describe("hosts", () => {
  it("are those of a flow's processes, each once, and none on one machine", () => {
    const status = pipeStatus({
      flows: [
        flowStatus({ name: "f", host: "b" }),
        flowStatus({ name: "f#2", replica_of: "f", host: "a" }),
        flowStatus({ name: "f#3", replica_of: "f", host: "b" }),
        flowStatus({ name: "g" }),
      ],
    });
    expect([hostsOf("f", status), hostsOf("g", status), hostsOf("f", null)]).toEqual([["a", "b"], [], []]);
    expect([hostsText(["a", "b"]), hostsText(["a"]), hostsText([])]).toEqual(["2 hosts", "a", ""]);
  });

  it("that are well are no problem", () => {
    expect(hostProblems(pipeStatus({ sites: [site, { ...site, state: "ended" }] }))).toEqual([]);
    expect(hostProblems(pipeStatus({}))).toEqual([]);
  });

  it("that are silent or lost, and links that are cut, are named", () => {
    const found = hostProblems(
      pipeStatus({
        sites: [
          { ...site, name: "driver", links: ["camera to 10.0.0.2, newest: cut"] },
          { ...site, state: "silent" },
          { ...site, name: "10.0.0.3", host: null, state: "lost", reason: "the node died" },
        ],
      }),
    );
    expect(found.map((one) => [one.severity, one.title, one.detail])).toEqual([
      ["warning", "A wire between hosts does not get through at the driver", "camera to 10.0.0.2, newest: cut"],
      ["warning", "The part of the pipe on 10.0.0.2 is silent", "It does not answer."],
      ["failure", "The part of the pipe on 10.0.0.3 is lost", "the node died"],
    ]);
  });
});
