// BullMQ as a peer: a processor that POSTs to an upstream with undici and reads the answer.
// node http.js N URL CONNECTIONS ; REDIS_PORT, CONCURRENCY. Prints one line of JSON: {seconds}.
const { Queue, Worker } = require('bullmq');
const { Pool } = require('undici');

const [n, url, connections] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const connection = { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) };
const concurrency = Number(process.env.CONCURRENCY || 50);
const now = () => performance.timeOrigin + performance.now();
const pool = new Pool(url, { connections, pipelining: 1 });

async function post(job) {
  const { statusCode, body } = await pool.request({
    path: '/users/user_123/welcome',
    method: 'POST',
    headers: {
      'content-type': 'application/json', authorization: 'Bearer a-token-of-some-length',
      'idempotency-key': `${job.id}:1`, 'x-job-id': job.id, 'x-attempt': '1',
    },
    body: JSON.stringify(job.data),
  });
  const answer = await body.json();
  if (statusCode !== 200) throw new Error(`the upstream answered ${statusCode}`);
  return answer;
}

(async () => {
  const queue = new Queue('peer-http', { connection, defaultJobOptions: { removeOnComplete: false } });
  await queue.waitUntilReady();
  await queue.obliterate({ force: true });
  const jobs = Array.from({ length: n }, () => ({ name: 'post', data: { userId: 'user_123', email: 'a@example.com' } }));
  for (let at = 0; at < n; at += 1000) await queue.addBulk(jobs.slice(at, at + 1000));
  let first;
  await new Promise((done, failed) => {
    let completed = 0;
    const worker = new Worker('peer-http', (job) => { first ??= now(); return post(job); }, { connection, concurrency });
    worker.on('completed', () => { if (++completed === n) done(); });
    worker.on('failed', (job, error) => failed(error));
    worker.on('error', failed);
  });
  // A pipe takes 64 kB at once: the process ends when all of it has been read.
  process.stdout.write(JSON.stringify({ seconds: (now() - first) / 1000 }), () => process.exit(0));
})().catch((error) => { console.error(error); process.exit(1); });
