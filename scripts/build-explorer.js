// Builds the explorer as a folder for any web server, with tiny models of all families and a small ablation, which it
// trains first: npm run explorer:build [-- OUT]. Trained models are kept in ropewalk-runs/explorer, so that a second
// build is quick.
import { join } from 'node:path';
import { buildSite } from '../dist/explore/build-site.node.js';
import { trainTinyModels } from '../dist/explore/tiny-models.node.js';
import { builtInAblation } from '../dist/start/ablation.node.js';

const [out = 'ropewalk-site', ...others] = process.argv.slice(2);
if (out.startsWith('-') || others.length > 0) {
  console.error('usage: npm run explorer:build [-- OUT], where OUT is a folder');
  process.exit(2);
}
const runs = join('ropewalk-runs', 'explorer');
const started = performance.now();
const models = await trainTinyModels(join(runs, 'models'), {
  cache: runs,
  onProgress(family, step, steps) {
    if (step === steps) console.error(`${family}: trained for ${steps} steps`);
  },
});
const ablation = join(runs, 'ablation');
await builtInAblation(ablation, {
  ...{ from: 'gpt', to: 'llama3', steps: 200, seeds: 3, threads: 2 },
  onRun(name, done, total) {
    console.error(`ablation, run ${done + 1} of ${total}: ${name}`);
  },
});
await buildSite(out, [...models, ablation]);
console.log(
  `${out}: ${models.length} models, in ${((performance.now() - started) / 1000).toFixed(0)} s; serve it with any web server, or with "ropewalk explore ${join(runs, 'models')}"`,
);
