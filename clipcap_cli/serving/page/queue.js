// The pictures and what became of them. A few are on their way at a time; what the server is too busy for goes again, and what nobody can answer waits.

import { Refusal, Unreachable } from "./server.js";

const AT_ONCE = 4;
const NO_PICTURE = [413, 422]; // what the server says of a file that it will never caption
const [WAITING, SENDING, DONE, FAILED] = ["waiting", "sending", "done", "failed"];

export class Queue {
  // `caption` makes of a file and a signal a promise of its caption; `alive` tells whether the server answers at all.
  // `changed` is told of each picture whose state is another; `held` of why none goes now ({ why, detail, seconds }), and of null when they go again.
  constructor({ caption, alive, changed, held }) {
    Object.assign(this, { caption, alive, changed, held });
    this.pictures = [];
    this.hold = null;
  }

  add(file) {
    const picture = { file, state: WAITING, problem: null, hopeless: false, result: null, controller: null };
    this.pictures.push(picture);
    return picture;
  }

  remove(picture) {
    this.pictures = this.pictures.filter((other) => other !== picture);
    picture.controller?.abort();
    this.go();
  }

  clear() {
    for (const picture of this.pictures) picture.controller?.abort();
    this.pictures = [];
    this.release();
  }

  // What was captioned, or failed and may yet be, is captioned again.
  again(pictures) {
    for (const picture of pictures.filter(({ state, hopeless }) => state === DONE || (state === FAILED && !hopeless))) this.#becomes(picture, WAITING);
    this.go();
  }

  stop() {
    for (const picture of this.pictures.filter(({ state }) => state === WAITING || state === SENDING)) {
      this.#becomes(picture, FAILED, "Stopped before it had a caption.");
      picture.controller?.abort();
    }
    this.release();
  }

  release() {
    clearTimeout(this.timer);
    if (this.hold) this.held((this.hold = null));
    this.go();
  }

  go() {
    while (!this.hold && this.#number(SENDING) < AT_ONCE) {
      const next = this.pictures.find((picture) => picture.state === WAITING);
      if (!next) return;
      this.#send(next);
    }
  }

  get counts() {
    const hopeless = this.pictures.filter((picture) => picture.hopeless).length;
    const [done, failed, going] = [this.#number(DONE), this.#number(FAILED), this.#number(WAITING) + this.#number(SENDING)];
    return { total: this.pictures.length, done, failed, hopeless, going };
  }

  // Why none goes now. It ends by itself after some seconds, or when `release` is called.
  wait(why, { detail = "", seconds = null } = {}) {
    clearTimeout(this.timer);
    this.held((this.hold = { why, detail, seconds }));
    if (seconds !== null) this.timer = setTimeout(() => this.release(), seconds * 1000);
  }

  // Whether this error passes: then nothing goes until it has.
  waitFor(error) {
    if (error instanceof Unreachable) this.wait("unreachable");
    else if (error.status === 401) this.wait("key");
    else if (error.wait > 0) this.wait("busy", { detail: error.message, seconds: error.wait });
    else return false;
    return true;
  }

  #number(state) {
    return this.pictures.filter((picture) => picture.state === state).length;
  }

  #becomes(picture, state, problem = null) {
    Object.assign(picture, { state, problem });
    this.changed(picture);
  }

  async #send(picture) {
    const controller = (picture.controller = new AbortController());
    this.#becomes(picture, SENDING);
    try {
      picture.result = await this.caption(picture.file, controller.signal);
      if (!controller.signal.aborted) this.#becomes(picture, DONE);
    } catch (error) {
      if (!controller.signal.aborted) await this.#failed(picture, error, controller.signal);
    }
    this.go();
  }

  async #failed(picture, error, signal) {
    if (error instanceof Unreachable && (await this.alive())) {
      error = new Refusal(0, "It could not be sent: the connection broke, or the file was moved or changed since it was chosen.");
    }
    if (signal.aborted) return;
    const passes = this.waitFor(error);
    picture.hopeless = NO_PICTURE.includes(error.status);
    this.#becomes(picture, passes ? WAITING : FAILED, passes ? null : error.message);
    if (!passes && !(error instanceof Refusal)) throw error;
  }
}
