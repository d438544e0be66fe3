// How much of a lease is left, as a bar and in words.

import { el, setText } from "./dom.js";
import { since } from "./times.js";
import { duration } from "./words.js";

export function lease() {
  const fill = el("i");
  const bar = el("div", { class: "bar" }, fill);
  const words = el("span", { class: "lease" });
  function update(job) {
    bar.hidden = job.until === null;
    if (job.until === null) return setText(words, "never ends");
    const left = -since(job.until);
    const whole = (Date.parse(job.until) - Date.parse(job.seen)) / 1000;
    const share = Math.max(0, Math.min(1, left / whole));
    fill.style.width = `${share * 100}%`;
    bar.classList.toggle("low", share < 1 / 3);
    bar.classList.toggle("out", share === 0);
    setText(words, left > 0 ? `${duration(left)} left` : "ran out");
  }
  return { element: el("div", {}, bar, words), update };
}
