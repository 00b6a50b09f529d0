/** A log entry, written as one line of JSON. */
export interface LogEntry {
  readonly time: string;
  readonly event: 'request' | 'model loaded' | 'model released' | 'error';
  readonly [field: string]: unknown;
}
