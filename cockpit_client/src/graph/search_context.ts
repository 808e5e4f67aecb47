import { createContext } from "react";

/** What is searched for in the graph, in lower case; nodes that do not fit it fade. */
export const SearchContext = createContext("");
