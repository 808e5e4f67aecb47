import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "@xyflow/react/dist/base.css";
import "uplot/dist/uPlot.min.css";
import "./style/tokens.css";
import "./style/controls.css";
import "./style/shell.css";
import "./style/graph.css";
import "./style/panel.css";
import "./style/logs.css";
import "./style/problems.css";
import { CockpitContext } from "./live/access";
import { Cockpit } from "./live/cockpit";
import "./live/theme";
import { App } from "./shell/app";

const cockpit = new Cockpit();
void cockpit.begin();
setInterval(() => cockpit.tick(), 1_000);

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <CockpitContext value={cockpit}>
        <App />
      </CockpitContext>
    </StrictMode>,
  );
