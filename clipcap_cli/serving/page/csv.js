// The captions as a table: CSV of RFC 4180, in UTF-8 with a mark, which spreadsheets know.
// There is a row for each caption, best first, and one for each picture that has none.

const COLUMNS = ["image", "caption", "score", "rank", "model", "problem"];

export function tableOf(pictures) {
  const rows = pictures.flatMap(({ file, state, result, problem }) => {
    if (state !== "done") return [[text(file.name), "", "", "", "", text(problem ?? "Not captioned yet.")]];
    const captions = result.candidates.length ? result.candidates : [{ text: result.caption, score: result.score }];
    return captions.map((caption, place) => [text(file.name), text(caption.text), caption.score ?? "", place + 1, text(result.model ?? ""), ""]);
  });
  return `\uFEFF${[COLUMNS, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("")}`;
}

// Spreadsheets take a text that begins so for a formula, and run it; with a ' in front it is a text. Numbers stay numbers.
const text = (value) => (/^[=+\-@\t\r]/.test(value) ? `'${value}` : value);

const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
