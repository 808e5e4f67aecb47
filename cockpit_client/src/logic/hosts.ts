/** Where the flows of a pipe on a cluster are, and which of its hosts are in trouble. */

import type { PipeStatus } from "../protocol/records";
import type { Problem } from "./problems";

/** The hosts of a flow's processes, each once; none of a pipe on one machine. */
export function hostsOf(flow: string, status: PipeStatus | null | undefined): readonly string[] {
  const found = (status?.flows ?? []).filter((one) => (one.replica_of ?? one.name) === flow).map((one) => one.host ?? "");
  return [...new Set(found.filter((host) => host !== ""))].sort();
}

/** "10.0.0.2", "3 hosts", or nothing. */
export function hostsText(hosts: readonly string[]): string {
  return hosts.length > 1 ? `${hosts.length} hosts` : (hosts[0] ?? "");
}

const WELL = ["running", "ended", "starting"];

/** A problem for each host that is not as it should be, and for each whose links are. */
export function hostProblems(status: PipeStatus): Problem[] {
  return (status.sites ?? []).flatMap((site) => {
    const found: Problem[] = [];
    const place = site.name === "driver" ? "the driver" : (site.host ?? site.name);
    if (!WELL.includes(site.state ?? "running"))
      found.push({
        key: `site ${site.name}`,
        severity: site.state === "lost" ? "failure" : "warning",
        title: `The part of the pipe on ${place} is ${site.state}`,
        detail: site.reason ?? "It does not answer.",
        advice: "See whether that host runs and can be reached, and whether Ray runs there (ray status).",
        where: null,
      });
    if (site.links?.length)
      found.push({
        key: `links ${site.name}`,
        severity: "warning",
        title: `A wire between hosts does not get through at ${place}`,
        detail: site.links.join("; "),
        advice: "See whether the hosts can reach each other. What is lossless waits until they can; the rest is dropped and counted.",
        where: null,
      });
    return found;
  });
}
