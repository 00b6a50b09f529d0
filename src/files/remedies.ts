/** What to do about a file that ends before what it announces. */
export const INCOMPLETE = 'the file is incomplete: download or write it again';
/** What to do about a file that is whole and contradicts itself. */
export const DAMAGED =
  'the file is damaged or was written incorrectly: get an intact copy, or write it again';
