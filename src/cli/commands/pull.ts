import type { Command } from 'commander';
import { pullModel } from '../../hub/pull.node.ts';
import { downloading } from '../options/resolve.ts';
import { askingForFile } from '../terminal/choose-file.ts';

interface PullFlags {
  revision?: string;
  file?: string;
  update?: boolean;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command('pull')
    .description('Download a model from the Hugging Face hub and print its path.')
    .argument(
      '<id>',
      "org/name, org/name@revision, org/name:file.gguf, org/name:Q4_K_M, or its page's address",
    )
    .option('--revision <name>', 'a branch, a tag or a commit; default: main')
    .option('--file <name>', 'the GGUF file to download, or its quantization, if there are several')
    .option('--update', 'check for a newer revision, even if everything is cached')
    .option('--json', 'print {id, path} on stdout')
    .addHelpText(
      'after',
      `
Files are kept where Python's huggingface_hub keeps them, and shared with it: HF_HUB_CACHE, or hub in HF_HOME. A token for
gated models is taken from HF_TOKEN or from "hf auth login"; HF_ENDPOINT names another hub, and HF_HUB_OFFLINE=1 keeps it off
the network. HTTPS_PROXY, HTTP_PROXY and NO_PROXY are respected. The same command resumes an interrupted download. If
a repository has several GGUF files and none is named, the command asks which, in a terminal.

Examples:
  ropewalk pull google/gemma-2-2b-it
  ropewalk pull org/name --revision v1.0 --json
  ropewalk pull org/name-GGUF:Q4_K_M
  ropewalk pull https://huggingface.co/org/name-GGUF/blob/main/name-Q4_K_M.gguf`,
    )
    .action(pull);
}

async function pull(id: string, { json, ...options }: PullFlags): Promise<void> {
  const path = await askingForFile(id, (name) =>
    // The chosen file is part of the id.
    downloading((watching) =>
      pullModel(name, { ...options, ...watching, file: name === id ? options.file : undefined }),
    ),
  );
  process.stdout.write(`${json ? JSON.stringify({ id, path }) : path}\n`);
}
