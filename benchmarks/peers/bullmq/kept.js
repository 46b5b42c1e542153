// BullMQ as a peer: what its list, its counts, add and work cost where N completed jobs are kept.
// node kept.js N TIMES REPETITIONS JOBS ; REDIS_PORT, CONCURRENCY.
// Prints one line of JSON: {list, counts: [[ms, ...], ...], added, done: [jobs a second, ...]}, an entry a repetition.
const { Queue, Worker } = require('bullmq');

const [n, times, repetitions, jobs] = process.argv.slice(2).map(Number);
const connection = { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) };
const options = { connection, concurrency: Number(process.env.CONCURRENCY || 50) };
const name = 'peer-kept';
const batch = (count) => Array.from({ length: count }, () => ({ name: 'noop', data: { key: 'user_123' } }));

async function work(queue, count) {
  for (let at = 0; at < count; at += 1000) await queue.addBulk(batch(Math.min(1000, count - at)));
  let first;
  let completed = 0;
  let worker;
  await new Promise((done, failed) => {
    worker = new Worker(name, async () => { first ??= performance.now(); return {}; }, options);
    worker.on('completed', () => { if (++completed === count) done(); });
    worker.on('failed', (job, error) => failed(error));
    worker.on('error', failed);
  });
  const rate = count / ((performance.now() - first) / 1000);
  await worker.close();
  return rate;
}

async function timed(call) {
  const taken = [];
  for (let i = 0; i < times; i++) {
    const begin = performance.now();
    await call();
    taken.push(performance.now() - begin);
  }
  return taken;
}

async function addedPerSecond(queue) {
  const begin = performance.now();
  const adder = async () => { for (let i = 0; i < jobs / 16; i++) await queue.add('noop', { key: 'user_123' }, { delay: 1e9 }); };
  await Promise.all(Array.from({ length: 16 }, adder));
  return jobs / ((performance.now() - begin) / 1000);
}

(async () => {
  const queue = new Queue(name, { connection, defaultJobOptions: { removeOnComplete: false } });
  await queue.waitUntilReady();
  await queue.obliterate({ force: true });
  for (let left = n; left > 0; left -= 50000) await work(queue, Math.min(50000, left));
  const told = { list: [], counts: [], added: [], done: [] };
  for (let i = 0; i < repetitions; i++) {
    told.list.push(await timed(() => queue.getJobs(['completed'], 0, 49)));
    told.counts.push(await timed(() => queue.getJobCounts()));
    told.added.push(await addedPerSecond(queue));
    told.done.push(await work(queue, jobs));
  }
  await queue.obliterate({ force: true });
  process.stdout.write(JSON.stringify(told), () => process.exit(0));
})().catch((error) => { console.error(error); process.exit(1); });
