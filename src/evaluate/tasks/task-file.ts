/** A Python function that a task file names with `!function`. It is never run. */
export class PythonFunction {
  /** @param name as in the file: `utils.process_docs`. */
  constructor(readonly name: string) {}
}

/** A task file before its fields are checked. */
export type TaskFile = Readonly<Record<string, unknown>>;
