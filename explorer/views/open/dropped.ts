import type { GivenFile } from '../../worker/protocol.ts';

/** Folders below a dropped one are not a model's. */
const MAX_FILES = 2000;

/** The files of a picker, or of what was dropped, with the folder's name before them where there is one. */
export async function filesOf(given: FileList | DataTransfer): Promise<GivenFile[]> {
  if (given instanceof FileList) {
    return [...given].map((file) => ({ name: file.webkitRelativePath || file.name, data: file }));
  }
  // The entries must be taken at once: they are gone when the event is over.
  const entries = [...given.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const files: GivenFile[] = [];
  for (const entry of entries) {
    if (entry.isFile) files.push(await read(entry as FileSystemFileEntry, entry.name));
    else files.push(...(await folder(entry as FileSystemDirectoryEntry)));
  }
  return files;
}

async function folder(directory: FileSystemDirectoryEntry): Promise<GivenFile[]> {
  const reader = directory.createReader();
  const files: GivenFile[] = [];
  while (files.length < MAX_FILES) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (entries.length === 0) break;
    for (const entry of entries) {
      if (entry.isFile)
        files.push(await read(entry as FileSystemFileEntry, `${directory.name}/${entry.name}`));
    }
  }
  return files;
}

async function read(entry: FileSystemFileEntry, name: string): Promise<GivenFile> {
  const data = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
  return { name, data };
}
