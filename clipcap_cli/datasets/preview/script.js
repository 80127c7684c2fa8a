// The pictures of a dataset, searched, filtered and sorted; and each of them large.
(() => {
  const { pictures } = read("data");
  const thumbnails = read("thumbnails");
  const CARD = 300; // characters of a caption that a card shows
  const ENLARGED = 3; // times that a small picture is enlarged at most
  const large = byId("large");
  const slotsOf = (element) => (name) => element.querySelector(`[data-slot="${name}"]`);
  const listOf = (texts) => texts.map((text) => elementOf("li", text));
  const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

  // ---- Which pictures, in which order

  const texts = pictures.map((picture) => [picture.name, ...picture.captions, ...Object.values(picture.tags)].join("\n").toLowerCase());
  const longest = (picture) => picture.captions.reduce((most, text) => Math.max(most, text.length), 0);
  const shortest = (picture) => picture.captions.reduce((least, text) => Math.min(least, text.length), Infinity);
  const pixels = (picture) => picture.size[0] * picture.size[1];
  const orders = {
    longest: (picture) => -longest(picture),
    shortest,
    captions: (picture) => -picture.captions.length,
    large: (picture) => -pixels(picture),
    small: pixels,
    problems: (picture) => -picture.problems.length,
  };

  function chosen(asked) {
    const words = asked.get("search").trim().toLowerCase(), split = asked.get("split") ?? "", problem = asked.get("problem") ?? "";
    const inSplit = (picture) => split === "" || (split === "-" ? picture.split === null : `=${picture.split}` === split);
    const hasProblem = (picture) => problem === "" || (problem === "*" ? picture.problems.length > 0 : picture.problems.some((kind) => `=${kind}` === problem));
    const numbers = [...pictures.keys()].filter((number) => texts[number].includes(words) && inSplit(pictures[number]) && hasProblem(pictures[number]));
    const value = orders[asked.get("order")];
    if (!value) return numbers;
    const values = pictures.map(value);
    return numbers.sort((one, two) => values[one] - values[two]);
  }

  // ---- Cards

  function cardOf(number) {
    const picture = pictures[number], first = picture.captions[0] ?? "";
    const element = byId("card").content.firstElementChild.cloneNode(true), slot = slotsOf(element);
    element.querySelector(".picture").append(pictureOf(picture.name, thumbnails[number]));
    slot("captions").append(...listOf([first.length > CARD ? `${first.slice(0, CARD)}…` : first]));
    slot("problems").append(...listOf(picture.problems));
    slot("name").textContent = slot("name").title = picture.name;
    slot("split").textContent = picture.split ?? "no split";
    slot("open").textContent = counted(picture.captions.length, "caption");
    return element;
  }

  const columns = () => getComputedStyle(shown.list).gridTemplateColumns.split(" ").length;
  const shown = gallery({
    total: pictures.length,
    atOnce: 120,
    chosen,
    cardOf,
    keys: (card) => ({
      ArrowRight: () => shown.move(1),
      ArrowLeft: () => shown.move(-1),
      ...(card && {
        ArrowDown: () => shown.move(columns()),
        ArrowUp: () => shown.move(-columns()),
        Enter: () => open(shown.placeOf(card)),
        " ": () => open(shown.placeOf(card)),
      }),
    }),
  });

  shown.list.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card && getSelection().isCollapsed) open(shown.placeOf(card));
  });

  // More cards come before one has scrolled to the end. An observer tells of changes only: it is asked again after each time.
  const end = byId("more");
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      shown.more();
      observer.unobserve(end);
      observer.observe(end);
    },
    { rootMargin: "1000px" },
  );
  observer.observe(end);

  // ---- One picture, large

  let place = 0; // among those that are found

  function open(at) {
    const number = shown.found()[at];
    if (number === undefined) return;
    place = at;
    const picture = pictures[number], slot = slotsOf(large);
    const facts = [["Split", picture.split ?? "none"], ...(pixels(picture) ? [["Size", `${picture.size[0]} × ${picture.size[1]}`]] : []), ...Object.entries(picture.tags)];
    const image = pictureOf(picture.name, thumbnails[number]);
    [image.style.maxWidth, image.style.maxHeight] = picture.size.map((side) => `${ENLARGED * side}px`);
    slot("picture").replaceChildren(image);
    slot("captions").replaceChildren(...listOf(picture.captions));
    slot("problems").replaceChildren(...listOf(picture.problems));
    slot("facts").replaceChildren(...facts.map(([name, value]) => {
      const row = document.createElement("div");
      row.append(elementOf("dt", name), elementOf("dd", value));
      return row;
    }));
    slot("name").textContent = picture.name;
    slot("place").textContent = `${(at + 1).toLocaleString("en")} of ${shown.found().length.toLocaleString("en")}`;
    large.querySelector(".about").scrollTop = 0;
    for (const button of large.querySelectorAll("[data-step]")) button.disabled = !(at + Number(button.dataset.step) in shown.found());
    if (large.open) return;
    large.showModal();
    large.focus();
  }

  large.addEventListener("keydown", (event) => {
    const step = { j: 1, ArrowRight: 1, ArrowDown: 1, k: -1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    open(place + step);
  });
  large.addEventListener("click", (event) => {
    const step = event.target.dataset.step;
    if (step) open(place + Number(step));
    else if (event.target === large || "close" in event.target.dataset) large.close();
  });
  large.addEventListener("close", () => shown.go(place));

  shown.refresh();
})();
