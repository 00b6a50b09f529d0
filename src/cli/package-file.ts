/** Ropewalk's package.json, which lies two folders above: this file must stay directly in `cli`. */
export const PACKAGE_FILE = new URL('../../package.json', import.meta.url);
