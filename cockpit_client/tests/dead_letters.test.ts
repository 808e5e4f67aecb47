import { describe, expect, it } from "vitest";
import { goneLetters, lettersOf, requeueWords } from "../src/logic/dead_letters";
import type { DeadLetter } from "../src/protocol/records";
import { pipeStatus, routineStatus } from "./samples";

const letter = (number: number, routine: string): DeadLetter => ({
  number, routine, reason: "no", traceback: "", attempts: 1, time: 0, earlier: false, data: null,
});

describe("dead letters", () => {
  it("belong to a routine, or to one that is gone", () => {
    const letters = [letter(1, "a"), letter(2, "gone"), letter(3, "b")];
    expect(lettersOf({ routine: "b" }, letters, ["a", "b"]).map((one) => one.number)).toEqual([3]);
    expect(lettersOf({ routine: null }, letters, ["a", "b"]).map((one) => one.number)).toEqual([2]);
  });

  it("are none in the status of a pipe of an older version", () => {
    expect(goneLetters(pipeStatus({ routines: [routineStatus({})] }))).toBe(0);
  });

  it("tell in a sentence what came of trying them again", () => {
    expect(requeueWords({ requeued: 3, failed: [], left: 0, ok: true })).toBe("3 requeued");
    expect(requeueWords({ requeued: 0, failed: [{ number: 7, reason: "no" }], left: 2, ok: false })).toBe("0 requeued, 1 failed again (7: no), 2 left for another time");
  });
});
