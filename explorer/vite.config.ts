import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** The page alone: models, text and engine are put beside it by whoever serves it. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // Addresses are relative, so that the folder works below any path.
  base: './',
  publicDir: false,
  worker: { format: 'es' },
  build: {
    outDir: '../dist/explorer',
    emptyOutDir: true,
    target: 'es2022',
    reportCompressedSize: false,
    modulePreload: { polyfill: false },
  },
});
