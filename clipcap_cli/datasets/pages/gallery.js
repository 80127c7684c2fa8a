"use strict";
// What pages of pictures share: cards that are made when they are wanted, chosen by a form and reached by keys. All texts are put in as texts, never as HTML.

const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);

function elementOf(tag, text, kind = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = kind;
  element.dir = "auto";
  return element;
}

function pictureOf(name, thumbnail) {
  if (!thumbnail) return elementOf("p", `${name}\nno picture`, "absent");
  const image = new Image();
  image.src = thumbnail;
  image.alt = name;
  return image;
}

// The page's list of pictures, `atOnce` more of them at a time.
// `chosen` makes of the form's values which pictures are shown, by their numbers, in their order; `cardOf` makes a picture's card.
// `keys` makes of the card that has the focus, if one has, what the page's own keys do.
function gallery({ total, atOnce, chosen, cardOf, keys }) {
  const form = byId("tools"), list = byId("list"), moreButton = byId("more"), help = byId("help");
  let found = [];

  function refresh() {
    found = chosen(new FormData(form));
    byId("number").textContent = `${found.length.toLocaleString("en")} of ${total.toLocaleString("en")} pictures.`;
    list.replaceChildren();
    more();
  }

  function more() {
    const start = list.childElementCount;
    const fresh = found.slice(start, start + atOnce).map(cardOf);
    if (start === 0 && fresh.length) fresh[0].tabIndex = 0;
    list.append(...fresh);
    const left = found.length - list.childElementCount;
    moreButton.hidden = left === 0;
    moreButton.textContent = `Show ${Math.min(left, atOnce)} more`;
  }

  const cardWithFocus = () => document.activeElement.closest("#list > .card");
  const placeOf = (card) => [...list.children].indexOf(card);

  function move(step) {
    const here = placeOf(cardWithFocus());
    go(here < 0 ? 0 : here + step);
  }

  function go(place) {
    if (!(place in found)) return;
    while (place >= list.childElementCount) more();
    const card = list.children[place];
    list.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    card.tabIndex = 0;
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const target = event.target;
    if (event.key === "Escape" && target === form.search) return target.blur();
    if (target.matches("input:not([type=radio], [type=checkbox]), select, textarea")) return;
    const action = {
      j: () => move(1),
      k: () => move(-1),
      "/": () => form.search.focus(),
      "?": () => help.showModal(),
      ...keys(cardWithFocus()),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(refresh));
  byId("help-button").addEventListener("click", () => help.showModal());
  moreButton.addEventListener("click", () => {
    const first = list.childElementCount;
    more();
    go(first);
  });

  byId("without-script").remove();
  list.className = "cards";
  list.hidden = form.hidden = false;
  return { list, refresh, more, move, go, placeOf, found: () => found };
}
