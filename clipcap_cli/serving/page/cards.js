// A picture as a card: what it looks like, its caption or what is wrong, and the other candidates. All texts are put in as texts, never as HTML.

import { byId, counted } from "./browser.js";

const FRESH = { waiting: "Waiting", sending: "Being captioned …" };
export const scoreInWords = (score) => (typeof score === "number" ? score.toFixed(2).replace("-", "−") : "");

export function cardOf(picture) {
  const card = byId("card").content.firstElementChild.cloneNode(true);
  const name = card.querySelector(".name");
  name.textContent = name.title = picture.file.name;
  card.querySelector(".picture").append(thumbnailOf(picture));
  show(card, picture);
  return card;
}

// The browser shows the file itself; its address is given back when the card goes.
function thumbnailOf(picture) {
  const image = new Image();
  image.decoding = "async";
  image.alt = picture.file.name;
  image.src = picture.address = URL.createObjectURL(picture.file);
  image.addEventListener("error", () => {
    const absent = document.createElement("p");
    absent.className = "absent";
    absent.textContent = "No preview";
    image.replaceWith(absent);
  });
  return image;
}

export function forget(picture) {
  URL.revokeObjectURL(picture.address);
}

export function show(card, picture) {
  const { file, state, result, problem, hopeless } = picture;
  const part = (name) => card.querySelector(`.${name}`);
  const done = state === "done";
  card.dataset.state = state;
  part("caption").textContent = done ? result.caption || "(no words)" : "";
  part("state").textContent = FRESH[state] ?? problem ?? "";
  part("score").textContent = done ? scoreInWords(result.score) : "";
  part("candidates").replaceChildren(...(done ? result.candidates.slice(1).map(candidateOf) : []));
  card.ariaLabel = `${file.name}: ${done ? result.caption : part("state").textContent}`;
  const buttons = {
    copy: [done, "Copy", "Copy the caption"],
    again: [done || (state === "failed" && !hopeless), done ? "Again" : "Try again", "Caption it again"],
    remove: [true, "Remove", "Remove it"],
  };
  for (const [name, [shown, label, meaning]] of Object.entries(buttons)) {
    const button = card.querySelector(`[data-do="${name}"]`);
    button.hidden = !shown;
    button.textContent = label;
    button.ariaLabel = `${meaning}: ${file.name}`;
  }
}

// A candidate is copied by a click.
function candidateOf({ text, score }) {
  const [item, button, words, number] = ["li", "button", "bdi", "span"].map((tag) => document.createElement(tag));
  words.textContent = text;
  number.textContent = scoreInWords(score);
  button.type = "button";
  button.title = "Copy this caption";
  button.dataset.do = "copy-candidate";
  button.append(words, number);
  item.append(button);
  return item;
}

export function inSum({ total, done, failed, going }) {
  const captioned = done === total ? `${counted(total, "picture")} captioned` : `${done.toLocaleString("en")} of ${counted(total, "picture")} captioned`;
  const parts = [captioned, failed ? `${failed.toLocaleString("en")} failed` : "", going && failed ? `${going.toLocaleString("en")} to go` : ""];
  return parts.filter((part) => part !== "").join(", ");
}
