// The scales of charts: a round number above all values, and values as text.

import { count, duration } from "./words.js";

const MINUTE = 60, HOUR = 3600, DAY = 86_400;
const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60,
  ...[2, 5, 10, 20, 30].map((each) => each * MINUTE), ...[1, 2, 3, 6, 12].map((each) => each * HOUR), ...[1, 2, 5, 10, 20, 50, 100].map((each) => each * DAY)];

/** The least of 2, 5, 10, 20, 50, … that is not less. */
function roundAbove(most) {
  if (most <= 2) return 2;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= most);
}

/** Seconds as text, short ones in milliseconds. */
function exactDuration(seconds) {
  if (seconds >= 0.95) return seconds < 9.95 && seconds % 1 ? `${seconds.toFixed(1)} s` : duration(seconds);
  return `${(seconds * 1000).toFixed(seconds < 0.00095 && seconds ? 1 : 0)} ms`;
}

const SCALES = {
  jobs: { top: roundAbove, format: count, none: "Nothing was counted yet" },
  seconds: { top: (most) => SECONDS.find((each) => each >= most) ?? most, format: exactDuration, none: "No job has ended" },
};

/** The scale of `jobs` or of `seconds`: `top(most)`, `format(value)`, and what to say where there is no value. */
export const scaleFor = (name) => SCALES[name];
