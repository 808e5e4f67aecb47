import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// A strict content security policy allows no inline scripts and no data: addresses, so nothing is inlined.
export default defineConfig({
  plugins: [react()],
  build: {
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "licences.md" },
    chunkSizeWarningLimit: 1000,
  },
  server: { proxy: { "/api": "http://127.0.0.1:8321", "/login": "http://127.0.0.1:8321", "/socket.io": { target: "ws://127.0.0.1:8321", ws: true } } },
});
