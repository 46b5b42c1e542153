// BullMQ as a peer: a worker that stays, and POSTs to an upstream with undici as http.js does.
// node worker.js work URL CONNECTIONS: until it is told to end; it loads no more than a worker needs.
// node worker.js add N: puts that many jobs into its queue. REDIS_PORT, CONCURRENCY.
const { Queue, Worker } = require('bullmq');
const { Pool } = require('undici');

const [mode, ...given] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) };
const name = 'peer-worker';

function work(url, connections) {
  const pool = new Pool(url, { connections: Number(connections), pipelining: 1 });
  const worker = new Worker(name, async (job) => {
    const { statusCode, body } = await pool.request({
      path: '/users/user_123/welcome',
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer a-token-of-some-length' },
      body: JSON.stringify(job.data),
    });
    const answer = await body.json();
    if (statusCode !== 200) throw new Error(`the upstream answered ${statusCode}`);
    return answer;
  }, { connection, concurrency: Number(process.env.CONCURRENCY || 50) });
  worker.on('error', (error) => { console.error(error); process.exit(1); });
  process.on('SIGTERM', () => process.exit(0));
}

async function add(count) {
  const queue = new Queue(name, { connection });
  const jobs = Array.from({ length: Number(count) }, () => ({ name: 'post', data: { userId: 'user_123', email: 'a@example.com' } }));
  for (let at = 0; at < jobs.length; at += 1000) await queue.addBulk(jobs.slice(at, at + 1000));
  await queue.close();
}

if (mode === 'work') work(...given);
else add(...given).catch((error) => { console.error(error); process.exit(1); });
