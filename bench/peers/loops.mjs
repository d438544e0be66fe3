// How the peers written for Node are measured: so many loops at once, each doing one operation after the other.

export const JOB = { payload: "x".repeat(186) };

/** Rate of `operation` over `seconds`, by `connections` loops; an operation that gives false was not one. */
export async function rate(connections, seconds, operation) {
  let operations = 0;
  const start = performance.now();
  const until = start + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, async (_, loop) => {
      while (performance.now() < until) if ((await operation(loop)) !== false) operations++;
    }),
  );
  return (operations * 1000) / (performance.now() - start);
}

/** Submits, then takes and completes, then all three in turn, or one of them: prints the rates as a line of JSON. */
export async function measure(connections, seconds, { submit, takeAndComplete }, only) {
  const cycle = async (loop) => {
    await submit(loop);
    return await takeAndComplete(loop);
  };
  const rates = {};
  for (const [name, operation] of Object.entries({ submit, take_and_complete: takeAndComplete, cycle }))
    if (!only || name === only) rates[name] = await rate(connections, seconds, operation);
  console.log(JSON.stringify(rates));
}
