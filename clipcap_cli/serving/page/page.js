// Where the scripts meet: what people do, what becomes of their pictures, and what they see of it.

import { announce, byId, copyText, counted, download, sizeInWords } from "./browser.js";
import { cardOf, forget, inSum, show } from "./cards.js";
import { tableOf } from "./csv.js";
import { filesOf, mayBePicture, named, refusalOf } from "./files.js";
import { HoldBanner, waitInWords } from "./hold.js";
import { followKeys, goTo, reach } from "./keys.js";
import { Queue } from "./queue.js";
import { askCaption, askModels, isAlive, Refusal } from "./server.js";
import { Settings } from "./settings.js";

const MOST = 500; // pictures on the page
const NAMED = 3; // files that are named in a sentence
const BETWEEN = 10_000; // milliseconds between two announcements of progress
const COPIED = 1500; // milliseconds for which a button says so

const list = byId("list");
const cards = new Map(); // picture -> card
let limits = null; // the server's, as soon as it has told them
let announced = 0;
let pasted = 0;

const queue = new Queue({
  caption(file, signal) {
    const refusal = refusalOf(file, limits);
    if (refusal) throw new Refusal(413, refusal);
    return askCaption(file, settings.options, signal);
  },
  alive: isAlive,
  changed(picture) {
    if (cards.has(picture)) show(cards.get(picture), picture);
    refresh();
    tellProgress();
  },
  held(hold) {
    banner.show(hold, cards.size > 0);
    refresh();
    if (hold) return;
    if (!limits) start();
    else if (settings.problem) queue.wait("settings", { detail: settings.problem });
  },
});

const settings = new Settings(byId("form"), () => {
  refresh();
  if (settings.problem) queue.wait("settings", { detail: settings.problem });
  else if (queue.hold?.why === "settings") queue.release();
});

const banner = new HoldBanner({ resume: () => queue.release(), showSetting: () => settings.showProblem() });

// ---- What the server has

async function start() {
  queue.wait("starting");
  let offer;
  try {
    offer = await askModels();
  } catch (error) {
    if (!queue.waitFor(error)) queue.wait("refused", { detail: error.message });
    return;
  }
  settings.offer(offer);
  limits = offer.limits;
  byId("settings").hidden = false;
  byId("limits").textContent = `Up to ${sizeInWords(limits.picture_bytes)} each, ${MOST} at once.`;
  queue.release();
}

// ---- Pictures come

function add(files) {
  const pictures = files.filter(mayBePicture);
  const room = pictures.slice(0, MOST - cards.size);
  tellLeftOut(files.filter((file) => !mayBePicture(file)), pictures.length - room.length);
  if (room.length === 0) return;
  for (const file of room) {
    const picture = queue.add(file);
    const card = cardOf(picture);
    cards.set(picture, card);
    list.append(card);
  }
  if (!list.querySelector('[tabindex="0"]')) reach(list, list.firstElementChild);
  announce(`Captioning ${counted(room.length, "picture")}.`);
  announced = Date.now();
  refresh();
  if (queue.hold?.why === "settings") settings.showProblem();
  queue.go();
}

function tellLeftOut(strangers, surplus) {
  const names = strangers.slice(0, NAMED).map(({ name }) => name).join(", ");
  const more = strangers.length > NAMED ? ` and ${strangers.length - NAMED} more` : "";
  const told = [
    strangers.length ? `Left out, as ${strangers.length === 1 ? "it is no picture" : "they are no pictures"}: ${names}${more}.` : "",
    surplus ? `Left out: ${counted(surplus, "picture")}. This page holds ${MOST} at once; for more there is the command clipcap caption.` : "",
  ];
  byId("left-out").hidden = told.every((sentence) => sentence === "");
  byId("left-out").querySelector("p").textContent = told.join(" ").trim();
}

for (const id of ["choose", "camera"]) {
  byId(id).addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = ""; // or choosing the same file again would be no change
  });
}

document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length === 0) return;
  event.preventDefault();
  add(files.map((file) => named(file, ++pasted)));
});

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
const light = (on) => byId("zone").classList.toggle("over", on);

// Anywhere on the page: beside the place for it, a browser would leave the page and show the picture.
document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
  light(true);
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) light(false);
});
document.addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  light(false);
  add(await filesOf(event.dataTransfer));
});

// ---- What is seen of all

function refresh() {
  const counts = queue.counts, hold = queue.hold;
  byId("tools").hidden = counts.total === 0;
  byId("number").textContent = inSum(counts) + (hold?.why === "busy" ? `. ${waitInWords(hold)}` : "");
  byId("progress").max = Math.max(1, counts.total);
  byId("progress").value = counts.done + counts.failed;
  byId("progress").hidden = counts.going === 0;
  byId("stop").hidden = counts.going === 0;
  byId("retry").hidden = counts.failed === counts.hopeless || counts.going > 0;
  byId("again").hidden = counts.done === 0 || counts.going > 0;
  byId("download").hidden = counts.done === 0;
  byId("in-words").textContent = limits ? settings.inWords : "";
  if (limits) tellCaptioner();
}

function tellCaptioner() {
  const { name, dataset } = settings.model;
  const captioner = document.createElement("b");
  captioner.textContent = name;
  byId("captioner").replaceChildren("The captioner ", captioner, dataset ? `, which learned from ${dataset},` : "", " writes a sentence about each picture.");
}

function tellProgress() {
  const { going } = queue.counts;
  if (going > 0 && Date.now() - announced < BETWEEN) return;
  announced = Date.now();
  announce(`${inSum(queue.counts)}.`);
}

// ---- What is done with all

const pictures = () => [...cards.keys()];

function clear() {
  pictures().forEach(forget);
  cards.clear();
  list.replaceChildren();
  byId("left-out").hidden = true;
  queue.clear();
  refresh();
  byId("choose").focus();
}

byId("stop").addEventListener("click", () => queue.stop());
byId("retry").addEventListener("click", () => queue.again(pictures().filter(({ state }) => state === "failed")));
byId("again").addEventListener("click", () => queue.again(pictures()));
byId("download").addEventListener("click", () => download("captions.csv", tableOf(pictures()), "text/csv;charset=utf-8"));
byId("clear").addEventListener("click", () => {
  const { total, done } = queue.counts;
  if (done === 0) return clear();
  byId("clear-what").textContent = `${counted(total, "picture")} and ${counted(done, "caption")} go from this page. Your files stay where they are.`;
  byId("clear-dialog").returnValue = "";
  byId("clear-dialog").showModal();
});
byId("clear-dialog").addEventListener("close", (event) => event.target.returnValue === "clear" && clear());
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("left-out").querySelector("button").addEventListener("click", () => (byId("left-out").hidden = true));
addEventListener("online", () => queue.hold?.why === "unreachable" && queue.release());

// ---- What is done with one

const pictureOf = (card) => pictures().find((picture) => cards.get(picture) === card);

function remove(card) {
  const picture = pictureOf(card), place = [...list.children].indexOf(card);
  forget(picture);
  cards.delete(picture);
  card.remove();
  queue.remove(picture);
  refresh();
  announce(`${picture.file.name} is removed.`);
  if (list.childElementCount === 0) byId("choose").focus();
  else goTo(list, Math.min(place, list.childElementCount - 1));
}

async function copy(text, button) {
  const copied = await copyText(text);
  announce(copied ? "Copied." : "This browser does not let the page copy; mark the caption and copy it.");
  button.classList.add(copied ? "copied" : "not-copied");
  setTimeout(() => button.classList.remove("copied", "not-copied"), COPIED);
}

const deeds = {
  copy(card) {
    const { state, result } = pictureOf(card);
    if (state === "done") copy(result.caption, card.querySelector('[data-do="copy"]'));
  },
  again: (card) => queue.again([pictureOf(card)]),
  remove,
};

list.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do === "copy-candidate") copy(button.querySelector("bdi").textContent, button);
  else deeds[button.dataset.do](button.closest(".card"));
});

followKeys(list, {
  c: (card) => card && deeds.copy(card),
  r: (card) => card && deeds.again(card),
  Delete: (card) => card && deeds.remove(card),
  o: () => byId("choose").click(),
  "?": () => byId("help").showModal(),
});

start();
