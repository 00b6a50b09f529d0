/** An error in a template, worded for its reader. */
export class JinjaError extends Error {}

/** A feature of Jinja2 that this interpreter lacks. */
export class NotSupported extends JinjaError {
  constructor(what: string) {
    super(`${what} is not supported in templates here`);
  }
}

/** The message of `raise_exception`. */
export class Raised extends JinjaError {}

/** The budget is exceeded; the message says what was too much. */
export class BudgetExceeded extends JinjaError {}
