#!/usr/bin/env node
import module from 'node:module';

// Node 22 and newer keep the compiled code for the next run.
module.enableCompileCache?.();
const { main } = await import('../dist/bundle/cli.js');
process.exitCode = await main(process.argv);
