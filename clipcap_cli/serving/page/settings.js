// How captions are written: a form whose fields, bounds and defaults are the server's. This browser remembers what was changed.

import { recall, remember } from "./browser.js";

const KEPT = "clipcap.settings";
const CANDIDATES = 3; // shown for each picture unless it is said otherwise: a beam search has them anyway
const TELLING = 10_000; // a bound beyond this tells people nothing
const LISTS = ["banned", "required"];
const plural = (number, noun) => `${number} ${noun}${Number(number) === 1 ? "" : "s"}`;

export class Settings {
  #models = [];
  #bounds = {};
  #own = {};

  // `changed` is told when other settings hold.
  constructor(form, changed) {
    this.form = form;
    form.addEventListener("input", (event) => {
      this.#keep(event.target);
      changed();
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      const model = this.#own.model;
      this.#own = model === undefined ? {} : { model };
      this.#write();
      this.#show();
      changed();
    });
  }

  // Takes what the server told of its models.
  offer({ models, bounds }) {
    [this.#models, this.#bounds] = [models, bounds];
    this.#own = keptSettings();
    const choices = models.map(({ name }) => new Option(name, name));
    this.form.model.replaceChildren(...choices);
    this.form.querySelector("#model-field").hidden = models.length < 2;
    for (const field of [...this.form.querySelectorAll("input[type=number]")]) {
      if (field.name in bounds) this.#bound(field, bounds[field.name]);
      else field.closest("label").remove();
    }
    this.#show();
  }

  get model() {
    return this.#models.find(({ name }) => name === this.form.model.value);
  }

  // What is asked of the server; everything that is seen is sent.
  get options() {
    const options = new URLSearchParams();
    for (const field of this.#fields()) {
      const values = LISTS.includes(field.name) ? field.value.split(",") : [field.value];
      for (const value of values.map((each) => each.trim()).filter((each) => each !== "")) options.append(field.name, value);
    }
    if (options.get("strategy") === "sample" && options.has("candidates")) options.set("samples", options.get("candidates"));
    return options;
  }

  get inWords() {
    const options = this.options;
    const manner = this.form.strategy.selectedOptions[0].textContent;
    const captions = `${plural(options.get("candidates") ?? 1, "caption")} each`;
    const parts = [this.#models.length > 1 ? this.form.model.value : "", manner, captions, this.#isChanged() ? "changed by you" : ""];
    return parts.filter((part) => part !== "").join(" · ");
  }

  // What is wrong with them, or null.
  get problem() {
    const field = this.#wrong();
    if (!field) return null;
    const name = field.closest("label").querySelector("span").textContent;
    return `${name} must be a ${field.step === "any" ? "number" : "whole number"} from ${field.min} to ${field.max}.`;
  }

  showProblem() {
    const field = this.#wrong();
    for (let box = field?.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    field?.focus();
  }

  #wrong = () => this.#fields().find((field) => !field.checkValidity());

  #fields = () => [...this.form.elements].filter((field) => field.name && !field.disabled);

  #isChanged = () => this.#fields().some(({ name }) => name !== "model" && name in this.#own);

  #bound(field, [least, most]) {
    [field.min, field.max] = [least, most];
    if (most > TELLING) return;
    field.closest("label").querySelector("small").append(` From ${least.toLocaleString("en")} to ${most.toLocaleString("en")}.`);
  }

  #default(name) {
    if (name === "model") return (this.#models.find((model) => model.default) ?? this.#models[0]).name;
    const value = this.model.decode[name] ?? (name === "candidates" ? CANDIDATES : name === "seed" ? 0 : null);
    if (value === null) return "";
    if (Array.isArray(value)) return value.join(", ");
    const [least, most] = this.#bounds[name] ?? [value, value];
    return String(typeof value === "number" ? Math.min(most, Math.max(least, value)) : value);
  }

  #keep(field) {
    if (field.value === this.#default(field.name)) delete this.#own[field.name];
    else this.#own[field.name] = field.value;
    this.#write();
    if (field.name === "model" || field.name === "strategy") this.#show();
  }

  #write() {
    remember("localStorage", KEPT, Object.keys(this.#own).length ? JSON.stringify(this.#own) : null);
  }

  // The model first: the others' defaults are the model's.
  #show() {
    const { model, strategy } = this.form;
    this.#fill(model);
    this.#fill(strategy);
    for (const part of this.form.querySelectorAll("[data-for]")) {
      part.hidden = !part.dataset.for.split(" ").includes(strategy.value);
      for (const field of part.querySelectorAll("input")) field.disabled = part.hidden;
    }
    for (const field of this.form.querySelectorAll("input")) this.#fill(field);
  }

  // What was kept may be of another server: where it does not fit, the default holds.
  #fill(field) {
    field.value = this.#own[field.name] ?? this.#default(field.name);
    if (field.value !== "" && field.checkValidity()) return;
    if (field.name in this.#own && field.matches("input[type=text]")) return;
    field.value = this.#default(field.name);
  }
}

function keptSettings() {
  try {
    const kept = JSON.parse(recall("localStorage", KEPT) ?? "{}");
    return Object.fromEntries(Object.entries(kept).filter(([, value]) => typeof value === "string"));
  } catch {
    return {};
  }
}
