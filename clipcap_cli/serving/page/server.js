// What the page asks of its server. Addresses are relative: the page may lie below some path of a proxy.

import { recall, remember } from "./browser.js";

const KEY = "clipcap.key";
const [SOON, LATEST] = [5, 120]; // seconds to wait where the server does not say, and at most

// What the server refused, in its own words.
export class Refusal extends Error {
  constructor(status, detail, wait = null) {
    super(detail);
    this.status = status;
    this.wait = wait; // seconds after which it may be asked again, or null
  }
}

// No answer came.
export class Unreachable extends Error {}

let key = recall("sessionStorage", KEY);

export const hasKey = () => key !== null;

export function useKey(value) {
  key = value;
  remember("sessionStorage", KEY, value);
}

// A header can carry these and nothing else.
export const canBeKey = (text) => /^[\x21-\x7e]+$/.test(text);

export const askModels = () => ask("v1/models", {});

export async function askCaption(file, options, signal) {
  const body = new FormData();
  body.append("image", file, file.name);
  const answer = await ask(`v1/caption?${options}`, { method: "POST", body, signal });
  const result = answer?.results?.[0];
  if (result?.problem) throw new Refusal(result.problem.status, result.problem.detail);
  if (typeof result?.caption !== "string") throw new Refusal(200, "The server's answer has no caption in it.");
  return { caption: result.caption, score: result.score, candidates: distinct(result.candidates ?? []), model: answer.model };
}

// Sampling may draw the same caption twice.
const distinct = (candidates) => candidates.filter(({ text }, place) => candidates.findIndex((other) => other.text === text) === place);

export async function isAlive() {
  try {
    return (await fetch("healthz", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

async function ask(address, options) {
  const used = key;
  const headers = used === null ? {} : { Authorization: `Bearer ${used}` };
  let response, answer;
  try {
    response = await fetch(address, { ...options, headers, cache: "no-store", credentials: "omit" });
    answer = await response.text();
  } catch (error) {
    throw error.name === "AbortError" ? error : new Unreachable();
  }
  // Another picture's answer has brought a key meanwhile.
  if (response.status === 401 && used !== key) return ask(address, options);
  if (response.ok) return parsed(answer);
  const detail = parsed(answer)?.detail ?? `The server answered ${response.status} and did not say why.`;
  throw new Refusal(response.status, detail, waitOf(response));
}

// A proxy in between may answer with a page of its own.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Seconds, or a date.
function waitOf(response) {
  if (![429, 503].includes(response.status)) return null;
  const said = response.headers.get("Retry-After") ?? "";
  const seconds = said === "" ? NaN : Number(said);
  const wait = Number.isNaN(seconds) ? (Date.parse(said) - Date.now()) / 1000 : seconds;
  return Number.isNaN(wait) ? SOON : Math.min(LATEST, Math.max(1, wait));
}
