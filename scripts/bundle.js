/**
 * Joins the compiled package's modules for Node, together with the small libraries that they use: reading hundreds of
 * small files took most of the time of an import. Browsers' bundlers do the same with the modules as they are.
 *
 *     node scripts/bundle.js [dist]
 *
 * The bundles lie as deep as the modules do, so that what they find by relative paths stays where it is. Names are
 * kept, so that the stack of an error can be read.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const [dist = fileURLToPath(new URL('../dist', import.meta.url))] = process.argv.slice(2);
const folder = join(dist, 'bundle');

/** Libraries that are joined with the modules, and what they use; all others are found in node_modules. */
const JOINED = new Set([
  '@asteasolutions/zod-to-openapi',
  '@bufbuild/protobuf',
  '@eslint-community/regexpp',
  '@hono/zod-openapi',
  '@hono/zod-validator',
  'onnx-buf',
  'onnxruntime-common',
  'openapi3-ts',
  'zod',
]);

/** @param {string} specifier a package, or a file in one. */
const packageOf = (specifier) =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

/** @type {import('esbuild').Plugin} */
const keepOthers = {
  name: 'libraries that are not joined',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
      kind === 'entry-point' || JOINED.has(packageOf(path)) ? undefined : { path, external: true },
    ),
};

/** @param {Iterable<string>} packages folders. */
function licenses(packages) {
  return [...packages]
    .map((path) => {
      const { name, version, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
      const file = readdirSync(path).find((entry) => /^licen[cs]e/i.test(entry));
      const text = file === undefined ? '' : `\n\n${readFileSync(join(path, file), 'utf8').trim()}`;
      return `${name} ${version} (${license})${text}\n`;
    })
    .sort()
    .join('\n\n');
}

rmSync(folder, { recursive: true, force: true });
// One build: the command and the library must be the same modules, for families of a user's own.
const { metafile } = await build({
  entryPoints: {
    node: join(dist, 'node.js'),
    core: join(dist, 'core.js'),
    'worker.node': join(dist, 'generation/worker/worker.node.js'),
    cli: join(dist, 'cli/main.js'),
  },
  outdir: folder,
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  plugins: [keepOthers],
  metafile: true,
  chunkNames: '[name]-[hash]',
  logLevel: 'warning',
});
const joined = Object.keys(metafile.inputs).flatMap(
  (path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(resolve(path))?.[0] ?? [],
);
writeFileSync(join(folder, 'LICENSES.txt'), licenses(new Set(joined)));
