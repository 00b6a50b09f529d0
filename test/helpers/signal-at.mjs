/*
 * Loaded before a program (`node --import`), this sends the program a signal the moment that it writes what matches
 * SIGNAL_AT: to standard output or error, at the end of a file, or by giving a file its name. A test that watched from
 * outside would come too late on a busy machine.
 */
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const { SIGNAL_AT, SIGNAL } = process.env;

if (isMainThread && SIGNAL_AT !== undefined) {
  const pattern = new RegExp(SIGNAL_AT);
  let sent = false;
  const look = (text) => {
    if (sent || !pattern.test(String(text))) return;
    sent = true;
    process.kill(process.pid, SIGNAL);
  };
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream);
    stream.write = (chunk, ...rest) => {
      const result = write(chunk, ...rest);
      look(chunk);
      return result;
    };
  }
  const { appendFile, rename } = promises;
  Object.assign(promises, {
    appendFile: async (path, data, ...rest) => {
      await appendFile(path, data, ...rest);
      look(data);
    },
    rename: async (from, to) => {
      await rename(from, to);
      look(to);
    },
  });
  syncBuiltinESMExports();
}
