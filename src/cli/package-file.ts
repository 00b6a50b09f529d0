/** Ropewalk's package.json, two folders up: this file must stay directly in `cli`. */
export const PACKAGE_FILE = new URL('../../package.json', import.meta.url);
