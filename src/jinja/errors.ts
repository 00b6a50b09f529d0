/** What a template does wrong, in words for its reader. */
export class JinjaError extends Error {}

/** What Jinja2 has and this interpreter does not. */
export class NotSupported extends JinjaError {
  constructor(what: string) {
    super(`${what} is not supported in templates here`);
  }
}

/** The words of `raise_exception`. */
export class Raised extends JinjaError {}

/** The budget is spent: what was done too much of. */
export class BudgetExceeded extends JinjaError {}
