// Two databases of PouchDB, as it comes, and one of the cluster, kept the same both ways while nodes
// fall. Lines on standard output say where it is; a line on standard input lets it go on.
'use strict';
const assert = require('node:assert');
const readline = require('node:readline');
const PouchDB = require('pouchdb');

const addresses = process.env.QK_ADDRESSES.split(' ');
const auth = { username: process.env.QK_USER, password: process.env.QK_PASSWORD };
const folder = process.env.QK_FOLDER;
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// By a token: PouchDB makes a connection a request, and each that shows a password costs the node an argon2id.
const bearer = (url, options) => {
    options.headers.set('Authorization', `Bearer ${process.env.QK_TOKEN}`);
    return PouchDB.fetch(url, options);
};
const remote = (at) => new PouchDB(`${addresses[at]}/pouch`, { fetch: bearer, skip_setup: true });
const say = (text) => console.log(text);
const on = async (text) => {
    say(text);
    await lines.next();
};
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// A node that is gone refuses, or says 503: the same request is asked again, of another.
async function again(what) {
    for (let i = 0; ; i++) {
        try {
            return await what(i % addresses.length);
        } catch (error) {
            if (error.status && error.status < 500 || i > 300)
                throw error;
            await pause(100);
        }
    }
}

const image = (size, seed) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255));

async function fill(db) {
    const docs = Array.from({ length: 40 }, (_, i) => ({ _id: `doc${i}`, n: i, text: `é${i}` }));
    await db.bulkDocs(docs);
    await db.put({
        _id: 'with/slash and é', _attachments: {
            'a photo.bin': { content_type: 'application/octet-stream', data: image(700000, 1) },
            'empty.txt': { content_type: 'text/plain', data: Buffer.alloc(0) },
        },
    });
    const { rev } = await db.get('doc1').then((doc) => db.remove(doc));
    assert.match(rev, /^2-/);
    await db.put({ _id: '_local/mine', stays: 'here' });
    await db.put({ _id: 'numbers', big: 9007199254740991, small: 1e-7, zero: -0, list: [1.5, [], {}] });
}

async function conflicts(a, b) {
    await a.put({ _id: 'both', by: 'a' });
    await b.put({ _id: 'both', by: 'b' });
    for (const by of ['one', 'two'])
        await b.get('both').then((doc) => b.put({ ...doc, by }));
}

async function all(db) {
    const { rows } = await db.allDocs({ include_docs: true, conflicts: true });
    const found = {};
    for (const { doc } of rows) {
        const whole = doc._attachments ? await db.get(doc._id, { attachments: true }) : {};
        const leaves = await db.get(doc._id, { open_revs: 'all', revs: true });
        found[doc._id] = {
            doc: { ...doc, _attachments: undefined },
            leaves: leaves.map(({ ok }) => [ok._rev, !!ok._deleted, ok._revisions.ids.length]).sort(),
            attachments: Object.entries(whole._attachments || {}).map(([name, one]) =>
                [name, one.content_type, one.digest, one.data]).sort(),
        };
    }
    return found;
}

async function equal(a, b, what) {
    const [left, right] = [await all(a), await all(b)];
    assert.deepStrictEqual(Object.keys(left), Object.keys(right), what);
    for (const id of Object.keys(left))
        assert.deepStrictEqual(left[id], right[id], `${what}: ${id}`);
    return Object.keys(left).length;
}

// Writes on both sides at once, while Python ends processes.
async function under_fire(a, sync) {
    const ends = { done: false, errors: 0 };
    const writer = (async () => {
        for (let i = 0; !ends.done; i++) {
            await a.put({ _id: `local${i}`, i });
            if (i % 10 === 0)
                await a.get('doc2').then((doc) => a.put({ ...doc, turn: i })).catch((e) => assert.strictEqual(e.status, 409));
            await again((at) => remote(at).put({ _id: `remote${i}`, i })).catch((e) => assert.strictEqual(e.status, 409));
            await pause(20);
        }
    })();
    sync.on('error', (error) => say(`error ${error}`));
    await on('syncing');
    ends.done = true;
    await writer;
}

async function settle(local) {
    await again((at) => local.replicate.to(remote(at)));
    await again((at) => local.replicate.from(remote(at)));
}

async function main() {
    const a = new PouchDB(`${folder}/a`), b = new PouchDB(`${folder}/b`);
    await again((at) => new PouchDB(`${addresses[at]}/pouch`, { auth }).info());
    await fill(a);
    await conflicts(a, b);
    await settle(a);
    await settle(b);
    await settle(a);
    const both = await remote(1).get('both', { conflicts: true });
    assert.strictEqual(both.by, 'two');
    assert.strictEqual(both._conflicts.length, 1);
    await equal(a, remote(0), 'after the first round');
    await on('filled');
    const sync = a.sync(remote(0), { live: true, retry: true, batch_size: 20 });
    await under_fire(a, sync);
    sync.cancel();
    await settle(a);
    await settle(b);
    const n = await equal(a, remote(1), 'at the end, a');
    await equal(b, remote(2), 'at the end, b');
    await assert.rejects(remote(0).get('_local/mine'));
    say(`equal: ${n} documents`);
    await a.close();
    await b.close();
    process.exit(0);
}

main().catch((error) => {
    console.log(error);
    process.exit(1);
});
