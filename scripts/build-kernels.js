// Compiles src/kernels/assembly/kernels.ts and its imports to WebAssembly, and writes the module as text to
// src/kernels/kernels.generated.ts, so that Node and browsers load it without file access; a second module, for memory that
// threads share, to shared-kernels.generated.ts. Does nothing if the output was made from the same input.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const sourceFolder = fileURLToPath(new URL('../src/kernels/assembly/', import.meta.url));
const sources = readdirSync(sourceFolder)
  .filter((name) => name.endsWith('.ts'))
  .sort();
const outputs = [
  { file: 'kernels.generated.ts', constant: 'kernelsBase64', about: 'The WebAssembly module', flags: [] },
  {
    file: 'shared-kernels.generated.ts',
    constant: 'sharedKernelsBase64',
    about: 'The WebAssembly module for shared memory',
    flags: ['--enable', 'threads', '--sharedMemory', '--maximumMemory', '65536'],
  },
];
const flags = [
  '-O3',
  '--enable',
  'simd',
  '--runtime',
  'stub',
  '--importMemory',
  '--noAssert',
  '--initialMemory',
  '0',
];

function readIfPresent(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return '';
    throw error;
  }
}

function fingerprint() {
  const hash = createHash('sha256');
  for (const name of sources) hash.update(name).update(readFileSync(sourceFolder + name));
  hash.update(readFileSync(fileURLToPath(import.meta.url)));
  const compiler = new URL('../node_modules/assemblyscript/package.json', import.meta.url);
  hash.update(JSON.parse(readIfPresent(compiler) || '{"version":"none"}').version);
  return hash.digest('hex').slice(0, 32);
}

async function compile(more) {
  const { default: asc } = await import('assemblyscript/asc');
  let wasm;
  const { error, stderr } = await asc.main(
    ['kernels.ts', '--outFile', 'kernels.wasm', '--bindings', 'none', ...flags, ...more],
    {
      // The compiler also requests its configuration and library files; only the sources come from us.
      readFile: (name) => (sources.includes(name) ? readFileSync(sourceFolder + name, 'utf8') : null),
      writeFile: (name, contents) => {
        if (name === 'kernels.wasm') wasm = contents;
      },
      listFiles: () => [],
    },
  );
  if (error || !wasm) {
    throw new Error(`assembly does not compile:\n${stderr.toString() || error?.message || 'no output'}`);
  }
  return wasm;
}

const mark = `// Made by scripts/build-kernels.js from src/kernels/assembly; source ${fingerprint()}`;
for (const { file, constant, about, flags: more } of outputs) {
  const path = fileURLToPath(new URL(`../src/kernels/${file}`, import.meta.url));
  if (readIfPresent(path).startsWith(`${mark}\n`)) continue;
  try {
    const wasm = await compile(more);
    const text = Buffer.from(wasm).toString('base64');
    const lines = text.match(/.{1,100}/g).map((line) => `  '${line}'`);
    // Written under a temporary name and renamed: another process may be importing the file.
    const draft = `${path}.${process.pid}`;
    writeFileSync(
      draft,
      `${mark}\n/** ${about}, in base64. */\nexport const ${constant} =\n${lines.join(' +\n')};\n`,
    );
    renameSync(draft, path);
    console.log(`src/kernels/${file}: ${wasm.length} bytes of WebAssembly`);
  } catch (error) {
    console.error(`ropewalk: the kernels were not built: ${error.message}`);
    process.exitCode = 1;
  }
}
