// Why nothing goes at the moment, and what people can do about it: wait, try again, bring a key.

import { byId } from "./browser.js";
import { canBeKey, hasKey, useKey } from "./server.js";

const BANNERS = {
  unreachable: ["The server cannot be reached. Nothing is lost: what is waiting is sent when it answers again.", "Try again"],
  refused: ["", "Try again"],
  key: ["This server asks for a key.", "Enter the key"],
  settings: ["", "Show the setting"],
  busy: ["", ""],
};

// Follows the queue's holds: `show` is to be told of each, or of null. `resume` is called when they may go again, `showSetting` to show what is wrong.
export class HoldBanner {
  constructor({ resume, showSetting }) {
    this.resume = resume;
    this.box = byId("held");
    this.dialog = byId("key-dialog");
    this.form = byId("key-form");
    this.actions = { unreachable: resume, refused: resume, key: () => this.#askKey(), settings: showSetting };
    this.box.querySelector("button").addEventListener("click", () => this.actions[this.why]());
    this.form.addEventListener("submit", (event) => this.#useKey(event));
    byId("forget").addEventListener("click", () => {
      useKey(null);
      this.#refresh();
    });
    this.#refresh();
  }

  // A server that is busy for a moment is said beside the progress, where there is some: the page would jump.
  show(hold, hasProgress) {
    if (hold?.why === "starting") return; // what was said before holds until there is an answer
    this.why = hold?.why;
    const [text, button] = BANNERS[this.why] ?? [];
    this.box.hidden = text === undefined || (this.why === "busy" && hasProgress);
    if (this.box.hidden) return;
    this.box.querySelector("p").textContent = `${text} ${this.why === "busy" ? waitInWords(hold) : hold.detail}`.trim();
    this.box.querySelector("button").textContent = button;
    this.box.querySelector("button").hidden = button === "";
    if (this.why === "key") this.#askKey(hasKey() ? "The server does not take this key." : "");
  }

  #askKey(problem = "") {
    byId("key-problem").textContent = problem;
    if (!this.dialog.open) this.dialog.showModal();
    this.form.key.select();
  }

  #useKey(event) {
    if (event.submitter?.value !== "use") return;
    const key = this.form.key.value.trim();
    if (!canBeKey(key)) {
      event.preventDefault();
      this.#askKey(key === "" ? "There is no key yet." : "A key has letters, digits and signs, and no spaces.");
      return;
    }
    this.form.reset();
    useKey(key);
    this.#refresh();
    this.resume();
  }

  #refresh() {
    byId("forget").hidden = !hasKey();
  }
}

export const waitInWords = ({ detail, seconds }) => `${detail} Going on in ${Math.ceil(seconds)} s.`;
