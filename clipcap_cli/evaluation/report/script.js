// The captions of all pictures, searched and sorted; and the values of charts.
(() => {
  const { metrics, main, cards } = read("data");
  const thumbnails = read("thumbnails");
  const shown = (value) => (value === null ? "–" : value.toFixed(3));

  // ---- Which pictures, in which order

  const plain = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  const texts = cards.map((card) => [card.name, card.caption, card.other?.caption ?? "", ...card.references].join("\n").toLowerCase());
  let metric = main;

  const score = (number) => cards[number].scores[metric];
  const change = (number) => {
    const before = cards[number].other?.scores[metric] ?? null;
    return before === null || score(number) === null ? null : score(number) - before;
  };
  const valuesLast = (value) => (one, two) => {
    const [a, b] = [value(one), value(two)];
    return a === null || b === null ? (a === null) - (b === null) : a - b;
  };

  function sorted(numbers, order) {
    if (order === "best") return numbers.sort(valuesLast((number) => score(number) === null ? null : -score(number)));
    if (order === "worst") return numbers.sort(valuesLast(score));
    if (order === "changed") return numbers.sort(valuesLast((number) => change(number) === null ? null : -Math.abs(change(number))));
    if (order === "median") {
      const all = cards.map((_, number) => score(number)).filter((value) => value !== null).sort((a, b) => a - b);
      const median = all[all.length >> 1];
      return numbers.sort(valuesLast((number) => score(number) === null ? null : Math.abs(score(number) - median)));
    }
    return numbers;
  }

  function chosen(asked) {
    metric = Number(asked.get("metric"));
    const words = asked.get("search").trim().toLowerCase();
    const low = asked.get("low") === "" ? -Infinity : Number(asked.get("low"));
    const high = asked.get("high") === "" ? Infinity : Number(asked.get("high"));
    const repeated = asked.has("repeated");
    const fits = (number) =>
      texts[number].includes(words) && (!repeated || cards[number].times > 1) && (score(number) === null ? low === -Infinity && high === Infinity : score(number) >= low && score(number) <= high);
    return sorted([...cards.keys()].filter(fits), asked.get("order"));
  }

  // ---- Cards

  function cardOf(number) {
    const card = cards[number];
    const element = byId("card").content.firstElementChild.cloneNode(true);
    const slot = (name) => element.querySelector(`[data-slot="${name}"]`);
    const without = (part) => element.querySelectorAll(`[data-part="${part}"]`).forEach((each) => each.remove());
    element.querySelector(".picture").append(pictureOf(card.name, thumbnails[number]));
    const said = new Set(card.references.flatMap((text) => text.split(/\s+/).map(plain)));
    spell(slot("caption"), card.caption, said);
    slot("metric").textContent = metrics[metric];
    slot("score").textContent = shown(score(number));
    slot("times").textContent = card.times > 1 ? `, said of ${card.times} pictures` : "";
    slot("references").append(...card.references.map((text) => elementOf("li", text)));
    slot("scores").append(...metrics.flatMap((name, place) => [scoreOf(name, card.scores[place]), " "]));
    slot("name").textContent = card.name;
    if (card.neighbour === null) without("neighbour");
    else spell(slot("neighbour"), card.neighbour, said);
    if (card.other === null) without("other");
    else {
      const by = change(number);
      slot("change").textContent = by === null ? "" : `(${shown(card.other.scores[metric])}: here ${by >= 0 ? "+" : "−"}${Math.abs(by).toFixed(3)})`;
      spell(slot("other"), card.other.caption, said);
    }
    return element;
  }

  function scoreOf(name, value) {
    const element = document.createElement("span");
    element.append(`${name} `, elementOf("b", shown(value)));
    return element;
  }

  // A caption, with the words marked that no reference has.
  function spell(element, caption, said) {
    for (const part of caption.split(/(\s+)/)) {
      const word = plain(part);
      element.append(word && !said.has(word) ? elementOf("span", part, "new") : part);
    }
  }

  // ---- Charts: what is pointed at, or reached with the arrow keys, is told below

  for (const chart of document.querySelectorAll(".chart")) {
    const spots = [...chart.querySelectorAll(".spot")], readout = chart.querySelector(".readout"), note = readout.textContent;
    let at = -1;
    const tell = (place) => {
      spots[at]?.classList.remove("on");
      at = place;
      spots[at]?.classList.add("on");
      readout.textContent = spots[at]?.firstElementChild.textContent ?? note;
    };
    const svg = chart.querySelector("svg");
    chart.tabIndex = 0;
    chart.setAttribute("aria-label", `${svg.getAttribute("aria-label")}. Left and right arrow keys tell the values.`);
    svg.addEventListener("pointerover", (event) => tell(spots.indexOf(event.target.closest(".spot"))));
    svg.addEventListener("pointerleave", () => tell(-1));
    chart.addEventListener("blur", () => tell(-1));
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      tell(Math.min(Math.max(at + step, 0), spots.length - 1));
    });
  }

  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));

  const shownCards = gallery({
    total: cards.length,
    atOnce: 60,
    chosen,
    cardOf,
    keys: (card) => card && { ArrowDown: () => shownCards.move(1), ArrowRight: () => shownCards.move(1), ArrowUp: () => shownCards.move(-1), ArrowLeft: () => shownCards.move(-1) },
  });
  shownCards.refresh();
})();
