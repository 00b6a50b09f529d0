/** The remedy for a file that ends too early. */
export const INCOMPLETE = 'the file is incomplete: download or write it again';
/** The remedy for a complete file that contradicts itself. */
export const DAMAGED =
  'the file is damaged or was written incorrectly: get an intact copy, or write it again';
