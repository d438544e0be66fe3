// BullMQ: node bullmq.mjs REDIS_PORT CONNECTIONS SECONDS [ONLY]
import { Queue, Worker } from "bullmq";
import { JOB, measure } from "./loops.mjs";

const [port, connections, seconds] = process.argv.slice(2, 5).map(Number);
const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
const queue = new Queue("bench", { connection });
// Without a processor it takes by hand, one job a call.
const worker = new Worker("bench", null, { connection });
await queue.waitUntilReady();
await worker.waitUntilReady();

await measure(connections, seconds, {
  submit: () => queue.add("job", JOB),
  takeAndComplete: async (loop) => {
    const token = `loop-${loop}`;
    const job = await worker.getNextJob(token, { block: false });
    if (!job) return false;
    await job.moveToCompleted(null, token, false);
  },
}, process.argv[5]);
process.exit(0);
