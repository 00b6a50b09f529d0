/** The files of a page, by address without the leading slash; `index.html` is served at `/`. */
export type PageFiles = ReadonlyMap<string, PageFile>;

export interface PageFile {
  readonly type: string;
  readonly content: Uint8Array | string;
}

/** Nothing is loaded from other sites, only files of the page run, and no other page can frame it. */
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

/** The response with a file of the page. */
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
