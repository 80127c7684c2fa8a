// The keyboard: from card to card, and what is done with the card that has the focus.

const inField = (target) => target.matches("input:not([type=file]), select, textarea");

// `actions` are the page's own keys: each gets the card that has the focus, or null.
export function followKeys(list, actions) {
  const cards = () => [...list.children];
  const here = () => document.activeElement.closest(".cards > .card");
  const columns = () => getComputedStyle(list).gridTemplateColumns.split(" ").length;

  function move(step) {
    const place = cards().indexOf(here());
    goTo(list, place < 0 ? 0 : place + step);
  }

  const moves = { j: 1, k: -1, ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: () => -columns() };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { key, target } = event;
    if (inField(target)) {
      if (key === "Escape") target.blur();
      return;
    }
    const step = moves[key];
    // Arrows scroll the page unless a card has the focus.
    if (step !== undefined && (here() || !key.startsWith("Arrow"))) move(typeof step === "function" ? step() : step);
    else if (key in actions) actions[key](here());
    else return;
    event.preventDefault();
  });

  // One card at a time is reached by Tab.
  list.addEventListener("focusin", (event) => reach(list, event.target.closest(".card")));
}

export function goTo(list, place) {
  const card = list.children[place];
  if (!card) return;
  reach(list, card);
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

export function reach(list, card) {
  for (const other of list.querySelectorAll('.card[tabindex="0"]')) other.tabIndex = -1;
  if (card) card.tabIndex = 0;
}
