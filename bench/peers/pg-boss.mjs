// pg-boss: node pg-boss.mjs DATABASE_URL CONNECTIONS SECONDS
import PgBoss from "pg-boss";
import { JOB, measure } from "./loops.mjs";

const [url, connections, seconds] = process.argv.slice(2);
const boss = new PgBoss({ connectionString: url, max: 20, supervise: false, schedule: false });
await boss.start();
await boss.createQueue("bench");

await measure(Number(connections), Number(seconds), {
  submit: () => boss.send("bench", JOB),
  takeAndComplete: async () => {
    const [job] = await boss.fetch("bench");
    if (!job) return false;
    await boss.complete("bench", job.id);
  },
});
process.exit(0);
