import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** The page that `ropewalk serve` has at `/`. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // Addresses are relative, so that it works below any path.
  base: './',
  publicDir: false,
  build: {
    outDir: '../dist/playground',
    emptyOutDir: true,
    target: 'es2022',
    reportCompressedSize: false,
    modulePreload: { polyfill: false },
    // Nothing is a data: address: the page's policy allows its own files alone.
    assetsInlineLimit: 0,
  },
});
