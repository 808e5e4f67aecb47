/** From how far the graph is looked at: from afar there is no room for numbers, so names get it. */

import { createContext } from "react";

/** Below this zoom the numbers in a node are smaller than anybody reads. */
export const FAR_ZOOM = 0.4;

export const FarContext = createContext(false);
