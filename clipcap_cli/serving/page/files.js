// Pictures out of what was dropped, pasted or chosen: files, and the files of folders.

import { sizeInWords } from "./browser.js";

const PICTURES = /\.(avif|bmp|gif|heic|heif|jfif|jpe?g|png|tiff?|webp)$/i;

// A file without a known type may be a picture if its name says so, or nothing.
export const mayBePicture = (file) => file.type.startsWith("image/") || (file.type === "" && (PICTURES.test(file.name) || !file.name.includes(".")));

// Why a picture cannot be sent, or null.
export function refusalOf(file, limits) {
  if (file.size === 0) return "This file is empty.";
  if (file.size > limits.picture_bytes) return `This file has ${sizeInWords(file.size)}; the server takes pictures up to ${sizeInWords(limits.picture_bytes)}.`;
  return null;
}

// The browser empties `items` after the event: they are all looked at before the first wait.
export async function filesOf(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const found = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const files = await Promise.all(found.map((each) => (each instanceof File || each === null ? each : filesBelow(each))));
  return files.flat().filter((file) => file !== null);
}

// A file that is gone by now is left out.
async function filesBelow(entry) {
  if (entry.isFile) return new Promise((resolve) => entry.file(resolve, () => resolve(null)));
  const reader = entry.createReader(), entries = [];
  for (;;) {
    // It gives a hundred at a time.
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (some.length === 0) break;
    entries.push(...some);
  }
  entries.sort((one, two) => one.name.localeCompare(two.name, "en", { numeric: true }));
  const files = await Promise.all(entries.filter(({ name }) => !name.startsWith(".")).map(filesBelow));
  return files.flat();
}

// What is pasted has the same name each time.
export function named(file, number) {
  return file.name && file.name !== "image.png" ? file : new File([file], `pasted ${number}.png`, { type: file.type });
}
