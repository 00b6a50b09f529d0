import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/**
 * Ends a run with one line that scripts can read: `N passed, N failed, N skipped`. A file that cannot be loaded, a hook
 * that throws and an error outside every test count as failures, so that 0 failed means what it says. With `--retry`, the
 * tests that passed only on a later try are named before it.
 */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const count = { passed: 0, failed: errors.length, skipped: 0 };
    for (const module of modules) {
      if (module.errors().length > 0) count.failed++;
      for (const suite of module.children.allSuites()) if (suite.errors().length > 0) count.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        // Tests that were never reached are left over from an interrupted run.
        count[state === 'pending' ? 'skipped' : state]++;
        if (test.diagnostic()?.flaky)
          process.stdout.write(`passed on a later try: ${module.relativeModuleId}: ${test.fullName}\n`);
      }
    }
    process.stdout.write(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
  }
}
