// Writes the generated table and picture of the READMEs: npm run docs:readme
import { readFileSync, writeFileSync } from 'node:fs';
import { README_PAGES, readmePicture, withReadmeTable } from './readme-parts.ts';

for (const { locale, page, picture } of README_PAGES) {
  writeFileSync(page, withReadmeTable(readFileSync(page, 'utf8'), locale));
  writeFileSync(picture, readmePicture(locale));
}
