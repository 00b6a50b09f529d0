import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The examples import the package by its name: tests run them on the source.
  resolve: { alias: { ropewalk: fileURLToPath(new URL('src/node.ts', import.meta.url)) } },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: './test/helpers/worker-setup.ts',
    setupFiles: ['./test/helpers/seed.ts', './test/helpers/elsewhere.ts'],
    // For a busy machine: what takes long is bounded by the work that it is (test/helpers/work.node.ts).
    testTimeout: 600_000,
    hookTimeout: 600_000,
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default', './test/helpers/reporter.ts'],
  },
});
