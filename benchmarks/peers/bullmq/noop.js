// BullMQ as a peer: a processor that does nothing but note when it began.
// node noop.js drain N | delayed N SECONDS | latency N MIN_MS MAX_MS | add N AT_ONCE | bulk N ; REDIS_PORT, CONCURRENCY.
// Prints one line of JSON: {seconds} for drain, add and bulk, {late: [ms, ...]} for the others.
const { Queue, Worker } = require('bullmq');

const [mode, ...numbers] = process.argv.slice(2);
const [n, from, to] = numbers.map(Number);
const connection = { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) };
const options = { connection, concurrency: Number(process.env.CONCURRENCY || 50) };
const name = `peer-${mode}`;
const now = () => performance.timeOrigin + performance.now();
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function add(queue, jobs) {
  for (let at = 0; at < jobs.length; at += 1000) await queue.addBulk(jobs.slice(at, at + 1000));
}

function work(processor, count) {
  return new Promise((done, failed) => {
    let completed = 0;
    const worker = new Worker(name, processor, options);
    worker.on('completed', () => { if (++completed === count) done(worker); });
    worker.on('failed', (job, error) => failed(error));
    worker.on('error', failed);
  });
}

async function drain(queue) {
  await add(queue, Array.from({ length: n }, () => ({ name: 'noop', data: { key: 'user_123' } })));
  let first;
  await work(async () => { first ??= now(); return {}; }, n);
  return { seconds: (now() - first) / 1000 };
}

async function delayed(queue) {
  const late = [];
  const done = work(async (job) => { late.push(now() - job.data.due); return {}; }, n);
  await sleep(500); // the worker is up
  const begin = Math.ceil(now()) + 2000; // everything is added before the first is due
  const jobs = Array.from({ length: n }, (_, i) => begin + Math.round((i * from * 1000) / n));
  // BullMQ runs a job at its timestamp + delay: with the timestamp given, adding late does not shift the due time.
  const stamp = Math.floor(now());
  await add(queue, jobs.map((due) => ({ name: 'noop', data: { due }, opts: { timestamp: stamp, delay: Math.ceil(due - stamp) } })));
  if (now() > begin) throw new Error('adding took longer than the head start');
  await done;
  return { late };
}

async function latency(queue) {
  const late = [];
  const done = work(async (job) => { late.push(now() - job.data.added); return {}; }, n);
  await sleep(500);
  for (let i = 0; i < n; i++) {
    await sleep(from + Math.random() * (to - from));
    await queue.add('noop', { added: now() });
  }
  await done;
  return { late };
}

async function one(queue) {
  const begin = now();
  const adder = async (count) => { for (let i = 0; i < count; i++) await queue.add('noop', { key: 'user_123' }); };
  await Promise.all(Array.from({ length: from }, () => adder(Math.ceil(n / from))));
  return { seconds: (now() - begin) / 1000 };
}

async function bulk(queue) {
  const begin = now();
  await add(queue, Array.from({ length: n }, () => ({ name: 'noop', data: { key: 'user_123' } })));
  return { seconds: (now() - begin) / 1000 };
}

(async () => {
  const queue = new Queue(name, { connection, defaultJobOptions: { removeOnComplete: false } });
  await queue.waitUntilReady();
  await queue.obliterate({ force: true });
  // A pipe takes 64 kB at once: the process ends when all of it has been read.
  process.stdout.write(JSON.stringify(await { drain, delayed, latency, add: one, bulk }[mode](queue)), () => process.exit(0));
})().catch((error) => { console.error(error); process.exit(1); });
