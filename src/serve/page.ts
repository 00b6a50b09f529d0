/** The files of a page, by their addresses without the leading slash; `index.html` is what `/` shows. */
export type PageFiles = ReadonlyMap<string, PageFile>;

export interface PageFile {
  readonly type: string;
  readonly content: Uint8Array | string;
}

/** Nothing is fetched from elsewhere, nothing runs that is not a file of the page, and no other page frames it. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Answers with a file of the page. */
export function pageResponse({ type, content }: PageFile): Response {
  return new Response(content as Uint8Array<ArrayBuffer> | string, {
    headers: {
      'Content-Type': type,
      'Content-Security-Policy': POLICY,
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
      'Cache-Control': 'no-cache',
    },
  });
}
